"""Allow-lists of syntax, names and attributes, and the limits on a source. The allowed calls are in `calls`.

The few tables of refused things only select a more specific message: everything else that is not allowed is refused by a general
rule. No torch, no execution.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# --- limits -----------------------------------------------------------------------------------------------------------

MAX_SOURCE_BYTES: Final = 20_000
MAX_LINES: Final = 1_000
MAX_BRACKETS: Final = 60
"""Depth of nested brackets, counted before anything is parsed."""
MAX_DEPTH: Final = 100
"""Depth of the syntax tree. A sum of a hundred terms reaches it."""
MAX_SYNTAX_NODES: Final = 6_000
MAX_NUMBER_CHARACTERS: Final = 40
MAX_NAME: Final = 64
MAX_STRING: Final = 200
"""Characters of a string other than a docstring: enough for the message of an assertion."""
MAX_FINDINGS: Final = 8
MAX_STEPS: Final = 20_000
"""Loop iterations, calls and operators that one trace may take."""
MAX_SEQUENCE: Final = 2_000
MAX_CALL_DEPTH: Final = 24

# --- syntax -----------------------------------------------------------------------------------------------------------

SYNTAX: Final[frozenset[type[ast.AST]]] = frozenset(
    {
        ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AnnAssign, ast.AugAssign,
        ast.While, ast.Delete, ast.Del,
        ast.For, ast.If, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.Assert, ast.Import, ast.ImportFrom, ast.alias,
        ast.Lambda, ast.IfExp, ast.BoolOp, ast.And, ast.Or, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.keyword,
        ast.Attribute, ast.Subscript, ast.Slice, ast.Name, ast.Load, ast.Store, ast.Constant, ast.Tuple, ast.List,
        ast.Dict, ast.Set, ast.Starred, ast.NamedExpr, ast.JoinedStr,
        ast.ListComp, ast.DictComp, ast.GeneratorExp, ast.comprehension,
        ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult, ast.BitAnd, ast.BitOr,
        ast.BitXor, ast.UAdd, ast.USub, ast.Not, ast.Invert,
        ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn,
    }
)  # fmt: skip
"""The nodes that may occur in a candidate. Imports are resolved and removed, annotations are stripped."""

REFUSED_SYNTAX: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Try": "SBX115", "TryStar": "SBX115", "Raise": "SBX115",
        "With": "SBX116", "AsyncWith": "SBX116",
        "ClassDef": "SBX117",
        "Global": "SBX118", "Nonlocal": "SBX118",
        "Yield": "SBX119", "YieldFrom": "SBX119", "Await": "SBX119", "AsyncFunctionDef": "SBX119", "AsyncFor": "SBX119",
        "FormattedValue": "SBX122", "TemplateStr": "SBX122", "Interpolation": "SBX122",
    }
)  # fmt: skip
"""Refused constructs that have a rule of their own; all others fall under SBX113."""

# --- names ------------------------------------------------------------------------------------------------------------

BUILTINS: Final = frozenset(
    {
        "abs", "all", "any", "bool", "dict", "enumerate", "filter", "float", "int", "isinstance", "len", "list", "map",
        "max", "min", "pow", "range", "reversed", "round", "sorted", "sum", "tuple", "zip",
    }
)  # fmt: skip
"""Builtins that candidates may call; each is re-implemented on symbolic values with bounded cost."""

PRELUDE: Final[Mapping[str, str]] = MappingProxyType(
    {"torch": "torch", "F": "torch.nn.functional", "math": "math", "nn": "torch.nn"}
)
"""Names that are in scope without an import."""

MODULES: Final = frozenset(
    {
        "torch",
        "torch.nn",
        "torch.nn.functional",
        "torch.special",
        "torch.linalg",
        "math",
        "numpy",
        "dataclasses",
        "functools",
        "abc",
        "logging",
        "warnings",
        "collections",
        "enum",
        "types",
    }
)
"""Modules that an import may name. An import binds the name to a facade; no module is loaded. numpy has constants
and functions of numbers only, functools has partial and reduce, and dataclasses the decorator. What logging and warnings report is
dropped."""

FORMS: Final = frozenset(
    {
        "torch.nn.Module",
        "torch.no_grad",
        "torch.enable_grad",
        "dataclasses.dataclass",
        "dataclasses.field",
        "collections.namedtuple",
        "enum.Enum",
        "enum.IntEnum",
        "enum.StrEnum",
        "enum.auto",
        "abc.ABC",
        "abc.abstractmethod",
        "functools.wraps",
    }
)
"""Further names that an import may have, because `static.unwrapping` and `static.classes` rewrite their usual
forms. Any other use is refused."""

TYPING_MODULES: Final = frozenset({"typing", "typing_extensions", "__future__", "collections.abc", "jaxtyping"})
"""Modules whose names may occur in annotations only: their imports are dropped."""

UNUSED_MODULES: Final = frozenset(
    {"abc", "collections", "copy", "enum", "functools", "itertools", "operator", "warnings"}
)
"""Modules of Python without effect whose imports are dropped if the source never uses the name that they bind."""

REFUSED_NAMES: Final[Mapping[str, str]] = MappingProxyType({"print": "SBX128", "printed": "SBX128"})
"""Names with a rule of their own; other builtins fall under SBX127."""

# --- attributes -------------------------------------------------------------------------------------------------------

TENSOR_PROPERTIES: Final = frozenset({"shape", "dtype", "device", "ndim", "T", "mT", "data"})
PAIR_ATTRIBUTES: Final = frozenset({"values", "indices"})
CONTAINER_METHODS: Final = frozenset({"append", "extend", "items", "keys", "values", "get", "update", "pop"})
FINFO_ATTRIBUTES: Final[Mapping[str, float]] = MappingProxyType(
    {
        "eps": 1.1920928955078125e-07,
        "max": 3.4028234663852886e38,
        "min": -3.4028234663852886e38,
        "tiny": 1.1754943508222875e-38,
        "smallest_normal": 1.1754943508222875e-38,
    }
)
"""Attributes of `torch.finfo(torch.float32)`."""

_RANDOM = (
    "rand rand_like randn randn_like randint randint_like randperm bernoulli multinomial normal poisson dropout dropout1d "
    "dropout2d dropout3d alpha_dropout feature_alpha_dropout gumbel_softmax rrelu manual_seed seed random uniform "
    "exponential empty empty_like new_empty Generator"
)
_LEAVES = (
    "item tolist numpy cpu cuda data grad data_ptr storage untyped_storage from_numpy frombuffer from_file save load "
    "to_numpy asnumpy pin_memory share_memory"
)
_SWITCHES = (
    "no_grad enable_grad inference_mode set_grad_enabled autograd backward requires_grad retain_grad register_hook "
    "is_leaf grad_fn autocast amp set_default_dtype set_default_device set_default_tensor_type set_num_threads "
    "use_deterministic_algorithms compile jit vmap func"
)
_FORMATS = "format format_map join replace split strip lower upper encode decode startswith endswith"

REFUSED_ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(_RANDOM.split(), "SBX131"),
        **dict.fromkeys(_LEAVES.split(), "SBX133"),
        **dict.fromkeys(_SWITCHES.split(), "SBX137"),
        **dict.fromkeys(_FORMATS.split(), "SBX122"),
        "nan": "SBX232",
    }
)
"""Refused attributes that have a rule of their own; a trailing underscore is SBX132 (in place), others are SBX129 or SBX130."""
