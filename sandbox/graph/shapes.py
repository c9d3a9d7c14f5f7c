"""Type inference: the type of an operation's result, from the types of its operands. No torch, no execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.contracts.contract import Contract
from sandbox.graph.operations import Operation
from sandbox.graph.operations.parts.shapes import ALLOW_NUMBERS, RULES, TENSOR_FROM_NUMBERS, ShapeError, broadcast
from sandbox.graph.types import MAX_ELEMENTS_FACTOR, Type, elements

__all__ = ["MAX_RANK", "ShapeError", "broadcast", "infer"]

MAX_RANK = 4


def infer(operation: Operation, operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> Type:
    """The type of the result of `operation` for operands of these types.

    Raises ShapeError if it does not accept them, or if the result is too large.
    """
    if operation.result == "const":
        return _NUMBERS[type(attrs["value"])]
    numbers = all(t.is_number for t in operands)
    if operands and numbers and not operation.scalar and operation.rule not in TENSOR_FROM_NUMBERS:
        raise ShapeError(f"{operation.name} needs a tensor, got only Python numbers", "SBX221")
    if operands and numbers and operation.scalar:
        return Type(_dtype(operation, operands, attrs), None)
    if operation.rule not in ALLOW_NUMBERS:
        for t in operands:
            if t.is_number:
                raise ShapeError(f"{operation.name} needs tensors, got a {t}", "SBX221")
    _check_types(operation, operands, attrs)
    shape = RULES[operation.rule](operands, attrs, contract)
    if shape is None:
        return Type(_dtype(operation, operands, attrs, contract), None)
    if len(shape) > MAX_RANK:
        raise ShapeError(
            f"{operation.name} makes a tensor of {len(shape)} axes, at most {MAX_RANK} are allowed", "SBX222"
        )
    if not elements(shape).bounded:
        raise ShapeError(
            f"{operation.name} makes a tensor of {elements(shape)} numbers, at most "
            f"{MAX_ELEMENTS_FACTOR} times the square of the batch are allowed",
            "SBX222",
        )
    return Type(_dtype(operation, operands, attrs, contract), shape)


def _check_types(operation: Operation, operands: Sequence[Type], attrs: Mapping[str, Any]) -> None:
    """Check the operands' dtypes, which torch checks only at run time. Raises ShapeError."""
    if operation.booleans != "any":
        booleans = [t.dtype == "bool" for t in operands]
        if all(booleans) or (operation.booleans == "none" and any(booleans)):
            raise ShapeError(
                f"{operation.name} is not defined for booleans; use .float() on the mask, or ~ to invert it"
            )
    if operation.check is not None:
        operation.check(operands, attrs)


_NUMBERS = {bool: Type("bool", None), int: Type("int", None), float: Type("float", None)}
_WIDTH = {"bool": 0, "int": 1, "float": 2}


def _dtype(
    operation: Operation, operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract | None = None
) -> str:
    match operation.result:
        case "promote":
            widest = max((t.dtype for t in operands), key=_WIDTH.__getitem__)
            return "int" if widest == "bool" and all(t.is_number for t in operands) else widest
        case "where":
            return max((t.dtype for t in operands[1:]), key=_WIDTH.__getitem__)
        case "same":
            return operands[0].dtype
        case "rounded":
            return "int" if operands[0].is_number else operands[0].dtype  # Python's rounding functions return ints
        case "sum":
            return "int" if operands[0].dtype == "bool" else operands[0].dtype
        case "cast":
            return str(attrs["to"])
        case "input":
            assert contract is not None
            return contract.argument(attrs["name"]).dtype
        case fixed:
            return fixed
