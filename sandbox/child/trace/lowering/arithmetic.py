"""Lowerings of arithmetic, comparisons and activations."""

from __future__ import annotations

from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.trace.lowering.registry import cast, floating, lowering, misfit
from sandbox.child.trace.symbols import Recorder, SymNumber, SymTensor, is_number


def _scaled(op: str) -> None:
    """x + alpha y, x - alpha y."""

    def make(r: Recorder, a: dict[str, Any]) -> Any:
        plain = type(a["alpha"]) is int and a["alpha"] == 1
        other = a["other"] if plain else r.add("mul", (a["other"], a["alpha"]))
        return r.add(op, (a["input"], other))

    lowering(op)(make)


_scaled("add")
_scaled("sub")


@lowering("rsub")
def _rsub(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("sub", (a["other"], a["input"]))


@lowering("divide")
def _divide(r: Recorder, a: dict[str, Any]) -> Any:
    operands = (a["input"], a["other"])
    match a["rounding_mode"]:
        case None:
            return r.add("div", operands)
        case "floor":
            return r.add("floordiv", operands)
    raise misfit()


@lowering("clamp")
def _clamp(r: Recorder, a: dict[str, Any]) -> Any:
    low, high, out = a["min"], a["max"], a["input"]
    if low is None and high is None:
        raise misfit()
    if low is not None and high is not None and is_number(low) != is_number(high):
        raise misfit()
    if low is not None:
        out = r.add("clamp_min", (out, low))
    if high is not None:
        out = r.add("clamp_max", (out, high))
    return out


@lowering("where")
def _where(r: Recorder, a: dict[str, Any]) -> Any:
    if a["condition"].type.dtype != "bool":
        raise Refusal("SBX237")
    return r.add("where", (a["condition"], a["input"], a["other"]))


@lowering("where_method")
def _where_method(r: Recorder, a: dict[str, Any]) -> Any:
    return _where(r, a)


@lowering("masked_fill")
def _masked_fill(r: Recorder, a: dict[str, Any]) -> Any:
    value = a["value"]
    if isinstance(value, SymTensor) and value.dims:
        raise misfit()
    x = a["input"]
    if x.type.dtype != "float":
        raise misfit()
    return _where(r, {"condition": a["mask"], "input": value, "other": x})


@lowering("heaviside")
def _heaviside(r: Recorder, a: dict[str, Any]) -> Any:
    x, at_zero = a["input"], a["values"]
    if x.type.dtype != "float" or at_zero.type.dtype != "float":
        raise misfit()
    step = cast(r, r.add("gt", (x, 0)), "float")
    return r.add("detach", (r.add("where", (r.add("eq", (x, 0)), at_zero, step)),))


@lowering("softplus")
def _softplus(r: Recorder, a: dict[str, Any]) -> Any:
    x, beta = floating(a["input"]), a["beta"]
    if isinstance(beta, SymNumber):
        scaled = r.add("mul", (x, beta))
        return r.add("div", (r.add("softplus", (scaled,), {"threshold": a["threshold"]}), beta))
    return r.add("softplus", (x,), {"beta": float(beta), "threshold": a["threshold"]})


@lowering("leaky_relu")
def _leaky_relu(r: Recorder, a: dict[str, Any]) -> Any:
    x, slope = floating(a["input"]), a["negative_slope"]
    if isinstance(slope, SymNumber):
        return r.add("where", (r.add("gt", (x, 0.0)), x, r.add("mul", (x, slope))))
    return r.add("leaky_relu", (x,), {"negative_slope": slope})


@lowering("elu")
def _elu(r: Recorder, a: dict[str, Any]) -> Any:
    x, alpha = floating(a["input"]), a["alpha"]
    if isinstance(alpha, SymNumber):
        below = r.add("mul", (r.add("expm1", (r.add("clamp_max", (x, 0.0)),)), alpha))
        return r.add("where", (r.add("gt", (x, 0.0)), x, below))
    return r.add("elu", (x,), {"alpha": alpha})


@lowering("hardtanh")
def _hardtanh(r: Recorder, a: dict[str, Any]) -> Any:
    x, low, high = floating(a["input"]), a["min_val"], a["max_val"]
    if isinstance(low, SymNumber) or isinstance(high, SymNumber):
        inside = r.add("logical_and", (r.add("gt", (x, low)), r.add("lt", (x, high))))  # no gradient at a bound
        bounded = r.add("clamp_max", (r.add("clamp_min", (x, low)), high))
        return r.add("where", (inside, x, r.add("detach", (bounded,))))
    return r.add("hardtanh", (x,), {"min_val": low, "max_val": high})


def _implicit_axis(x: SymTensor, dim: int | None) -> int:
    """The axis that F.softmax takes where none is given."""
    return dim if dim is not None else 0 if len(x.dims) in (0, 1, 3) else 1


@lowering("implicit_softmax")
def _implicit_softmax(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("softmax", (floating(a["input"]),), {"dim": _implicit_axis(a["input"], a["dim"])})


@lowering("implicit_log_softmax")
def _implicit_log_softmax(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("log_softmax", (floating(a["input"]),), {"dim": _implicit_axis(a["input"], a["dim"])})


@lowering("softmin")
def _softmin(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("softmax", (r.add("neg", (floating(a["input"]),)),), {"dim": _implicit_axis(a["input"], a["dim"])})


@lowering("logit")
def _logit(r: Recorder, a: dict[str, Any]) -> Any:
    x = floating(a["input"])
    if a["eps"] is not None:
        return r.add("logit", (x,), {"eps": a["eps"]})
    return r.add("log", (r.add("div", (x, r.add("sub", (1, x)))),))


@lowering("nan_to_num")
def _nan_to_num(r: Recorder, a: dict[str, Any]) -> Any:
    attrs = {k: a[k] for k in ("nan", "posinf", "neginf") if a[k] is not None}
    return r.add("nan_to_num", (floating(a["input"]),), attrs)
