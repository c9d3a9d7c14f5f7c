"""The table of exposed calls: what they become, names, parameters. How to read it is told in `calls`."""

from __future__ import annotations

from typing import Final

_T = "input: tensor"
_DEVICE = "device: ignored = None, requires_grad: fixed = False, pin_memory: fixed = False, layout: ignored = None"
_LIKE = f"dtype: dtype = None, {_DEVICE}, memory_format: ignored = None"
_MADE = f"dtype: dtype = None, {_DEVICE}, out: fixed = None"
_OUT = "out: fixed = None"
_LOSS = "size_average: fixed = None, reduce: fixed = None, reduction: text = 'mean'"
_WEIGHTED = "weight: fixed = None"
_DIMS = "keepdim: flag = False, dtype: fixed = None, out: fixed = None"

TABLE: Final[tuple[tuple[str, str, str], ...]] = (
    # --- one operand ---
    *(
        (n, f"torch.{n} Tensor.{n}", f"{_T}, {_OUT}")
        for n in [
            "exp",
            "expm1",
            "log",
            "log1p",
            "log2",
            "log10",
            "exp2",
            "sqrt",
            "sin",
            "cos",
            "tan",
            "tanh",
            "sinh",
            "cosh",
            "asinh",
            "atan",
            "erf",
            "erfc",
            "square",
            "rsqrt",
            "reciprocal",
            "sigmoid",
            "floor",
            "ceil",
            "trunc",
            "sign",
            "frac",
        ]
    ),
    *((n, f"torch.{n} Tensor.{n}", _T) for n in ["isfinite", "isnan", "isinf", "logical_not", "detach", "relu"]),
    ("neg", "torch.neg torch.negative Tensor.neg Tensor.negative", f"{_T}, {_OUT}"),
    ("abs", "torch.abs torch.absolute Tensor.abs Tensor.absolute", f"{_T}, {_OUT}"),
    ("asinh", "torch.arcsinh Tensor.arcsinh", _T),
    ("atan", "torch.arctan Tensor.arctan", _T),
    ("trunc", "torch.fix Tensor.fix", _T),
    ("sign", "torch.sgn Tensor.sgn", _T),
    ("round", "torch.round Tensor.round", f"{_T}, decimals: fixed = 0, {_OUT}"),
    ("exp2", "torch.special.exp2", _T),
    ("expm1", "torch.special.expm1", _T),
    ("log1p", "torch.special.log1p", _T),
    ("erf", "torch.special.erf", _T),
    ("erfc", "torch.special.erfc", _T),
    ("sigmoid", "torch.special.expit torch.nn.functional.sigmoid", _T),
    ("tanh", "torch.nn.functional.tanh", _T),
    ("logit", "torch.logit Tensor.logit torch.special.logit", f"{_T}, eps: number = None"),
    ("same", "torch.positive Tensor.positive Tensor.contiguous", _T),
    ("copy", "torch.clone Tensor.clone", f"{_T}, memory_format: ignored = None"),
    (
        "nan_to_num",
        "torch.nan_to_num Tensor.nan_to_num",
        f"{_T}, nan: number = 0.0, posinf: number = None, neginf: number = None, {_OUT}",
    ),
    # --- activations ---
    *(
        (n, f"torch.nn.functional.{n}", f"{_T}, inplace: fixed = False")
        for n in ["relu", "relu6", "selu", "silu", "mish", "hardsigmoid", "hardswish"]
    ),
    ("selu", "torch.selu", _T),
    *((n, f"torch.nn.functional.{n}", _T) for n in ["logsigmoid", "softsign", "tanhshrink"]),
    ("softplus", "torch.nn.functional.softplus", f"{_T}, beta: scalar = 1.0, threshold: number = 20.0"),
    (
        "leaky_relu",
        "torch.nn.functional.leaky_relu",
        f"{_T}, negative_slope: scalar = 0.01, inplace: fixed = False",
    ),
    ("elu", "torch.nn.functional.elu", f"{_T}, alpha: scalar = 1.0, inplace: fixed = False"),
    ("celu", "torch.nn.functional.celu torch.celu", f"{_T}, alpha: number = 1.0, inplace: fixed = False"),
    ("gelu", "torch.nn.functional.gelu", f"{_T}, approximate: text = 'none'"),
    ("softshrink", "torch.nn.functional.softshrink", f"{_T}, lambd: number = 0.5"),
    ("hardshrink", "torch.nn.functional.hardshrink torch.hardshrink", f"{_T}, lambd: number = 0.5"),
    (
        "hardtanh",
        "torch.nn.functional.hardtanh",
        f"{_T}, min_val: scalar = -1.0, max_val: scalar = 1.0, inplace: fixed = False",
    ),
    (
        "threshold",
        "torch.nn.functional.threshold torch.threshold",
        f"{_T}, threshold: number, value: number, inplace: fixed = False",
    ),
    ("softmin", "torch.nn.functional.softmin", f"{_T}, dim: axis = None, dtype: fixed = None"),
    *(
        (f"implicit_{n}", f"torch.nn.functional.{n}", f"{_T}, dim: axis = None, dtype: fixed = None")
        for n in ("softmax", "log_softmax")
    ),
    *(
        (n, f"torch.{n} Tensor.{n} torch.special.{n}", f"{_T}, dim: axis, dtype: fixed = None")
        for n in ("softmax", "log_softmax")
    ),
    # --- two operands ---
    ("add", "torch.add Tensor.add", f"{_T}, other: value, *, alpha: scalar = 1, {_OUT}"),
    ("sub", "torch.sub Tensor.sub torch.subtract Tensor.subtract", f"{_T}, other: value, *, alpha: scalar = 1, {_OUT}"),
    ("rsub", "torch.rsub", f"{_T}, other: value, *, alpha: fixed = 1"),
    ("mul", "torch.mul Tensor.mul torch.multiply Tensor.multiply", f"{_T}, other: value, *, {_OUT}"),
    (
        "divide",
        "torch.div Tensor.div torch.divide Tensor.divide",
        f"{_T}, other: value, *, rounding_mode: text = None, {_OUT}",
    ),
    ("div", "torch.true_divide Tensor.true_divide", f"{_T}, other: value, *, {_OUT}"),
    ("floordiv", "torch.floor_divide Tensor.floor_divide", f"{_T}, other: value, *, {_OUT}"),
    ("remainder", "torch.remainder Tensor.remainder", f"{_T}, other: value, *, {_OUT}"),
    ("pow", "torch.pow", f"input: value, exponent: value, *, {_OUT}"),
    ("pow", "Tensor.pow", f"{_T}, exponent: value"),
    *(
        (n, f"torch.{n} Tensor.{n}", f"{_T}, other: tensor, *, {_OUT}")
        for n in ["maximum", "minimum", "logaddexp", "logaddexp2", "hypot", "atan2"]
    ),
    ("atan2", "torch.arctan2 Tensor.arctan2", f"{_T}, other: tensor"),
    ("xlogy", "torch.xlogy torch.special.xlogy", "input: value, other: value"),
    ("xlogy", "Tensor.xlogy", f"{_T}, other: value"),
    *((n, f"torch.{n} Tensor.{n}", f"{_T}, other: value, *, {_OUT}") for n in ["lt", "le", "gt", "ge", "eq", "ne"]),
    ("lt", "torch.less Tensor.less", f"{_T}, other: value"),
    ("le", "torch.less_equal Tensor.less_equal", f"{_T}, other: value"),
    ("gt", "torch.greater Tensor.greater", f"{_T}, other: value"),
    ("ge", "torch.greater_equal Tensor.greater_equal", f"{_T}, other: value"),
    ("ne", "torch.not_equal Tensor.not_equal", f"{_T}, other: value"),
    *((n, f"torch.{n} Tensor.{n}", f"{_T}, other: tensor") for n in ["logical_and", "logical_or", "logical_xor"]),
    (
        "clamp",
        "torch.clamp Tensor.clamp torch.clip Tensor.clip",
        f"{_T}, min: value = None, max: value = None, *, {_OUT}",
    ),
    ("clamp_min", "torch.clamp_min Tensor.clamp_min", f"{_T}, min: value"),
    ("clamp_max", "torch.clamp_max Tensor.clamp_max", f"{_T}, max: value"),
    ("where", "torch.where", "condition: tensor, input: value, other: value"),
    ("where_method", "Tensor.where", f"{_T}, condition: tensor, other: value"),
    ("masked_fill", "torch.masked_fill Tensor.masked_fill", f"{_T}, mask: tensor, value: value"),
    ("heaviside", "torch.heaviside Tensor.heaviside", f"{_T}, values: tensor"),
    ("lerp", "torch.lerp Tensor.lerp", f"{_T}, end: tensor, weight: value, *, {_OUT}"),
    # --- losses ---
    *((n, f"torch.nn.functional.{n}", f"{_T}, target: tensor, {_LOSS}, {_WEIGHTED}") for n in ("mse_loss",)),
    *((n, f"torch.nn.functional.{n}", f"{_T}, target: tensor, {_LOSS}") for n in ("l1_loss", "soft_margin_loss")),
    ("smooth_l1_loss", "torch.nn.functional.smooth_l1_loss", f"{_T}, target: tensor, {_LOSS}, beta: scalar = 1.0"),
    (
        "huber_loss",
        "torch.nn.functional.huber_loss",
        f"{_T}, target: tensor, reduction: text = 'mean', delta: scalar = 1.0, {_WEIGHTED}",
    ),
    ("binary_cross_entropy", "torch.nn.functional.binary_cross_entropy", f"{_T}, target: tensor, {_WEIGHTED}, {_LOSS}"),
    (
        "binary_cross_entropy_with_logits",
        "torch.nn.functional.binary_cross_entropy_with_logits",
        f"{_T}, target: tensor, {_WEIGHTED}, {_LOSS}, pos_weight: fixed = None",
    ),
    (
        "kl_div",
        "torch.nn.functional.kl_div",
        f"{_T}, target: tensor, {_LOSS}, log_target: flag = False",
    ),
    (
        "cross_entropy",
        "torch.nn.functional.cross_entropy",
        f"{_T}, target: tensor, {_WEIGHTED}, size_average: fixed = None, ignore_index: fixed = -100, reduce: fixed = None, "
        "reduction: text = 'mean', label_smoothing: number = 0.0",
    ),
    (
        "nll_loss",
        "torch.nn.functional.nll_loss",
        f"{_T}, target: tensor, {_WEIGHTED}, size_average: fixed = None, ignore_index: fixed = -100, reduce: fixed = None, "
        "reduction: text = 'mean'",
    ),
    (
        "margin_ranking_loss",
        "torch.nn.functional.margin_ranking_loss",
        f"input1: tensor, input2: tensor, target: tensor, margin: scalar = 0.0, {_LOSS}",
    ),
    # --- reductions ---
    ("sum", "torch.sum Tensor.sum", f"{_T}, dim: axes = None, {_DIMS}"),
    ("mean", "torch.mean Tensor.mean", f"{_T}, dim: axes = None, {_DIMS}"),
    ("prod", "torch.prod Tensor.prod", f"{_T}, dim: axis = None, {_DIMS}"),
    *(
        (
            n,
            f"torch.{n} Tensor.{n}",
            f"{_T}, dim: any = None, unbiased: flag = None, keepdim: flag = False, *, correction: int = None, {_OUT}",
        )
        for n in ("var", "std")
    ),
    *((n, f"torch.{n} Tensor.{n}", f"{_T}, dim: axes = None, keepdim: flag = False, {_OUT}") for n in ("amax", "amin")),
    *(
        (
            f"extreme_{n}",
            f"torch.{n} Tensor.{n}",
            f"{_T}, dim: any = None, keepdim: flag = False, *, other: tensor = None",
        )
        for n in ("max", "min")
    ),
    ("median", "torch.median Tensor.median", f"{_T}, dim: axis = None, keepdim: flag = False"),
    (
        "logsumexp",
        "torch.logsumexp Tensor.logsumexp torch.special.logsumexp",
        f"{_T}, dim: axes, keepdim: flag = False, *, {_OUT}",
    ),
    (
        "norm",
        "torch.norm Tensor.norm",
        f"{_T}, p: any = 'fro', dim: axes = None, keepdim: flag = False, dtype: fixed = None, {_OUT}",
    ),
    (
        "norm",
        "torch.linalg.vector_norm",
        f"{_T}, p: any = 2, dim: axes = None, keepdim: flag = False, dtype: fixed = None, {_OUT}",
    ),
    (
        "quantile",
        "torch.quantile Tensor.quantile",
        f"{_T}, q: number, dim: axis = None, keepdim: flag = False, *, interpolation: text = 'linear', {_OUT}",
    ),
    *(
        (n, f"torch.{n} Tensor.{n}", f"{_T}, dim: axis = None, keepdim: flag = False")
        for n in ("any", "all", "argmax", "argmin")
    ),
    # --- along an axis ---
    *((n, f"torch.{n} Tensor.{n}", f"{_T}, dim: axis, *, dtype: fixed = None, {_OUT}") for n in ("cumsum",)),
    ("logcumsumexp", "torch.logcumsumexp Tensor.logcumsumexp", f"{_T}, dim: axis"),
    (
        "normalize",
        "torch.nn.functional.normalize",
        f"{_T}, p: number = 2.0, dim: axis = 1, eps: number = 1e-12, out: fixed = None",
    ),
    ("sort", "torch.sort Tensor.sort", f"{_T}, dim: axis = -1, descending: flag = False, stable: ignored = False"),
    (
        "argsort",
        "torch.argsort Tensor.argsort",
        f"{_T}, dim: axis = -1, descending: flag = False, stable: ignored = False",
    ),
    ("flip", "torch.flip", f"{_T}, dims: axes"),
    ("flip", "Tensor.flip", f"{_T}, *dims: axes"),
    ("roll", "torch.roll Tensor.roll", f"{_T}, shifts: int, dims: axis = None"),
    # --- shapes ---
    ("unsqueeze", "torch.unsqueeze Tensor.unsqueeze", f"{_T}, dim: axis"),
    ("squeeze", "torch.squeeze Tensor.squeeze", f"{_T}, dim: axis = None"),
    ("reshape", "torch.reshape", f"{_T}, shape: shape"),
    ("reshape", "Tensor.reshape Tensor.view", f"{_T}, *shape: shape"),
    ("reshape_as", "Tensor.view_as Tensor.reshape_as", f"{_T}, other: tensor"),
    (
        "flatten",
        "torch.flatten Tensor.flatten torch.ravel Tensor.ravel",
        f"{_T}, start_dim: int = 0, end_dim: int = -1",
    ),
    ("expand", "Tensor.expand", f"{_T}, *shape: shape"),
    ("expand", "torch.broadcast_to Tensor.broadcast_to", f"{_T}, shape: shape"),
    ("expand_as", "Tensor.expand_as", f"{_T}, other: tensor"),
    ("transpose", "torch.transpose Tensor.transpose torch.swapaxes Tensor.swapaxes", f"{_T}, dim0: axis, dim1: axis"),
    ("matrix_transpose", "torch.t Tensor.t", _T),
    ("gather", "torch.gather Tensor.gather", f"{_T}, dim: axis, index: tensor, *, sparse_grad: fixed = False, {_OUT}"),
    ("one_hot", "torch.nn.functional.one_hot", f"{_T}, num_classes: any = -1"),
    ("select", "torch.select Tensor.select", f"{_T}, dim: axis, index: int"),
    ("chunk", "torch.chunk Tensor.chunk", f"{_T}, chunks: int, dim: axis = 0"),
    ("split", "torch.split", "tensor: tensor, split_size_or_sections: any, dim: axis = 0"),
    ("split_method", "Tensor.split", f"{_T}, split_size: any, dim: axis = 0"),
    ("unbind", "torch.unbind Tensor.unbind", f"{_T}, dim: axis = 0"),
    ("narrow", "torch.narrow Tensor.narrow", f"{_T}, dim: axis, start: int, length: any"),
    ("cat", "torch.cat torch.concat torch.concatenate", f"tensors: tensors, dim: axis = 0, *, {_OUT}"),
    ("stack", "torch.stack", f"tensors: tensors, dim: axis = 0, *, {_OUT}"),
    ("triu", "torch.triu Tensor.triu", f"{_T}, diagonal: int = 0"),
    ("tril", "torch.tril Tensor.tril", f"{_T}, diagonal: int = 0"),
    ("diagonal", "torch.diagonal Tensor.diagonal torch.diag Tensor.diag", f"{_T}, offset: fixed = 0"),
    ("outer", "torch.outer Tensor.outer torch.ger", f"{_T}, vec2: tensor"),
    ("dot", "torch.dot Tensor.dot torch.inner", f"{_T}, other: tensor"),
    ("matmul", "torch.matmul Tensor.matmul torch.mm Tensor.mm torch.mv Tensor.mv", f"{_T}, other: tensor"),
    # --- types and sizes ---
    (
        "to",
        "Tensor.to",
        f"{_T}, *targets: any, dtype: any = None, device: ignored = None, non_blocking: ignored = False, "
        "copy: fixed = False, memory_format: ignored = None",
    ),
    ("to_like", "Tensor.type_as", f"{_T}, other: tensor"),
    ("to", "Tensor.type", f"{_T}, *targets: any"),
    ("to_float", "Tensor.float", f"{_T}, memory_format: ignored = None"),
    ("to_int", "Tensor.long", f"{_T}, memory_format: ignored = None"),
    ("to_bool", "Tensor.bool", f"{_T}, memory_format: ignored = None"),
    ("to_other_float", "Tensor.double Tensor.half Tensor.bfloat16", _T),
    ("unsupported_type", "Tensor.int Tensor.short Tensor.byte Tensor.char", _T),
    ("size", "Tensor.size", f"{_T}, dim: axis = None"),
    ("count", "Tensor.numel Tensor.nelement torch.numel", _T),
    ("rank", "Tensor.dim Tensor.ndimension", _T),
    ("is_tensor", "torch.is_tensor", "obj: any"),
    ("is_floating_point", "torch.is_floating_point Tensor.is_floating_point", _T),
    ("finfo", "torch.finfo", "type: dtype = None"),
    # --- creation ---
    ("full", "torch.full", f"size: shape, fill_value: scalar, *, {_MADE}"),
    ("zeros", "torch.zeros", f"*size: shape, {_MADE}"),
    ("ones", "torch.ones", f"*size: shape, {_MADE}"),
    ("full_like", "torch.full_like", f"{_T}, fill_value: scalar, *, {_LIKE}"),
    ("zeros_like", "torch.zeros_like", f"{_T}, *, {_LIKE}"),
    ("ones_like", "torch.ones_like", f"{_T}, *, {_LIKE}"),
    ("new_full", "Tensor.new_full", f"{_T}, size: shape, fill_value: scalar, *, {_LIKE}"),
    ("new_zeros", "Tensor.new_zeros", f"{_T}, *size: shape, {_LIKE}"),
    ("new_ones", "Tensor.new_ones", f"{_T}, *size: shape, {_LIKE}"),
    ("new_tensor", "Tensor.new_tensor", f"{_T}, data: any, *, dtype: dtype = None, {_DEVICE}"),
    ("tensor", "torch.tensor", f"data: any, *, dtype: dtype = None, {_DEVICE}"),
    ("as_tensor", "torch.as_tensor", "data: any, dtype: dtype = None, device: ignored = None"),
    ("arange", "torch.arange", f"start: scalar, end: scalar = None, step: scalar = 1, *, {_MADE}"),
    ("eye", "torch.eye", f"n: any, m: fixed = None, *, {_MADE}"),
    # --- math, on numbers ---
    *(
        (f"math_{n}", f"math.{n}", "x: scalar")
        for n in [
            "exp",
            "expm1",
            "log1p",
            "log2",
            "log10",
            "sqrt",
            "sin",
            "cos",
            "tan",
            "tanh",
            "sinh",
            "cosh",
            "asinh",
            "atan",
            "erf",
            "erfc",
            "floor",
            "ceil",
            "trunc",
            "exp2",
        ]
    ),
    *(
        (f"math_{n}", f"math.{n}", "x: number")
        for n in [
            "acos",
            "asin",
            "acosh",
            "atanh",
            "gamma",
            "lgamma",
            "degrees",
            "radians",
            "isfinite",
            "isinf",
            "isnan",
            "cbrt",
        ]
    ),
    ("math_fabs", "math.fabs", "x: scalar"),
    ("math_factorial", "math.factorial", "x: int"),
    ("math_log", "math.log", "x: scalar, base: scalar = None"),
    ("math_pow", "math.pow", "x: scalar, y: scalar"),
    *((f"math_{n}", f"math.{n}", "x: number, y: number") for n in ("atan2", "copysign", "fmod")),
)
