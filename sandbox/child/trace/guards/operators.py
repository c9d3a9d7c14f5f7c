"""Python's operators by their names in the syntax tree: the graph's operation for symbols, and the function for constants."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

BINARY: Mapping[str, tuple[str, Callable[[Any, Any], Any]]] = MappingProxyType(
    {
        "Add": ("add", operator.add),
        "Sub": ("sub", operator.sub),
        "Mult": ("mul", operator.mul),
        "Div": ("div", operator.truediv),
        "FloorDiv": ("floordiv", operator.floordiv),
        "Mod": ("remainder", operator.mod),
        "Pow": ("pow", operator.pow),
        "MatMult": ("matmul", operator.matmul),
        "BitAnd": ("logical_and", operator.and_),
        "BitOr": ("logical_or", operator.or_),
        "BitXor": ("logical_xor", operator.xor),
    }
)
UNARY: Mapping[str, Callable[[Any], Any]] = {"UAdd": operator.pos, "USub": operator.neg, "Invert": operator.invert}
COMPARE: Mapping[str, tuple[str, Callable[[Any, Any], Any]]] = MappingProxyType(
    {
        "Lt": ("lt", operator.lt),
        "LtE": ("le", operator.le),
        "Gt": ("gt", operator.gt),
        "GtE": ("ge", operator.ge),
        "Eq": ("eq", operator.eq),
        "NotEq": ("ne", operator.ne),
    }
)
IN_PLACE = {
    "+=": "Add", "-=": "Sub", "*=": "Mult", "/=": "Div", "//=": "FloorDiv", "%=": "Mod", "**=": "Pow", "&=": "BitAnd",
    "|=": "BitOr", "^=": "BitXor", "@=": "MatMult",
}  # fmt: skip
