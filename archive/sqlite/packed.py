"""Packed columns: JSON and texts that would fill most of an archive if they were stored as they are.

A packed value is one byte, the number of its form, then zlib data of the text. Form 1 is compressed with the preset dictionary
`_WORDS_1`, which has what these values have in common; zlib data name their dictionary by a checksum, so a value can never be
unpacked with another one. The text comes back byte by byte, so numbers stay exact. A further form gets a number and
a dictionary of its own; those that were released never change.

A text that repeats most of an earlier one, as prompts do, is compressed with that text as its dictionary (`pack_like`).
"""

import zlib

from archive.errors import CorruptArchive

LARGEST_UNPACKED = 16 * 2**20
"""Largest size in bytes of an unpacked value. An untrusted archive may contain a compression bomb."""

_WINDOW = 2**15
"""zlib uses at most this many bytes at the end of a dictionary."""

_WORDS_1 = (
    b'{"convex":true,"convexity":1.0,"jumps":[],"falling":1.0,"rising":[],"minima":1,"minimum_at":[40.0],"slope_at_zero":-0.5,'
    b'"left_tail":"quadratic","left_tail":"exponential","right_tail":"linear","saturation":null,"asymmetry":0.0,'
    b'"gradient_balance":0.5,"coupled":true,"margin_only":true,"uses_reference":true}'
    b'{"convex":false,"convexity":0.5,"jumps":[],"falling":1.0,"rising":[],"minima":0,"minimum_at":[],"slope_at_zero":-0.,'
    b'"left_tail":"linear","right_tail":"flat","saturation":3.,"asymmetry":0.,"gradient_balance":0.5,"coupled":false,'
    b'"margin_only":false,"uses_reference":true}'
    b"import math\\nimport torch\\nimport torch.nn.functional as F\\n\\n\\ndef loss(logits, targets):\\n    return F.cross_entropy("
    b".mean() torch.sigmoid( torch.exp( torch.clamp( torch.log1p( torch.where( torch.sqrt( torch.abs( F.relu( F.logsigmoid( "
    b".detach() F.softplus(-beta * margin) torch.maximum( torch.log( torch.tanh( torch.square( torch.asinh("
    b'{"thought": "", "name": "", "code": "import torch\\nimport torch.nn.functional as F\\n\\n\\n'
    b"def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):\\n"
    b"    policy_margin = policy_chosen_logps - policy_rejected_logps\\n"
    b"    reference_margin = reference_chosen_logps - reference_rejected_logps\\n    rho = policy_margin - reference_margin\\n"
    b"    x = beta * rho\\n    return F.softplus(-x)\\n"
    b'"}{"name": "", "thought": "Grew  at beta rho", "graph": "{\\"schema\\":1,\\"contract\\":\\"preference\\",\\"nodes\\":'
    b'[[\\"input\\",[],{\\"name\\":\\"beta\\"}],[\\"input\\",[],{\\"name\\":\\"policy_chosen_logps\\"}],[\\"input\\",[],'
    b'{\\"name\\":\\"policy_rejected_logps\\"}],[\\"sub\\",[1,2]],[\\"input\\",[],{\\"name\\":\\"reference_chosen_logps\\"}],'
    b'[\\"input\\",[],{\\"name\\":\\"reference_rejected_logps\\"}],[\\"sub\\",[4,5]],[\\"sub\\",[3,6]],[\\"mul\\",[0,7]],'
    b'[\\"const\\",[],{\\"value\\":1.0}],[\\"neg\\",[8]],[\\"softplus\\",[9]],[\\"add\\",[10,11]]],\\"output\\":11}"}'
    b'"kl_estimate":[[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,'
    b'39,40,41,42,43,44,45,46,47,48,49,50],[0.]],"margin":[[1],[-0.]],{"loss":[[1,2,3,4,5,6],[0.]]}'
    b'"signals":"seccomp, landlock-signals","time":"cpu-limit, wall-clock","memory":"memory-limit"}'
    b'{"files":"not-needed","network":"not-needed","processes":"not-needed","signals":"not-needed","time":"not-needed",'
    b'"memory":"not-needed"}{"files":"seccomp, landlock","network":"seccomp, no-descriptors-limit",'
    b'"processes":"seccomp, landlock + no-processes-limit","signals":"seccomp, landlock-signals",'
    b'"time":"cpu-limit, wall-clock","memory":"memory-limit"}'
    b'["mish",[["atan",[["gelu",[["silu",[["quantile",[["full_like",[["clamp_min",[["logsigmoid",[["elu",[["maximum",['
    b'["logsumexp",[["size",[["log",[["log1p",[["pow",[["abs",[["cross_entropy",[["log_softmax",[["softmax",[["gather",['
    b'"targets"}],["input",[],{"name":"logits"}],{"dim":-1,"keepdim":true}],{"dtype":"float32"}],["one_hot",['
    b'["huber_loss",[["logaddexp",[["leaky_relu",[["where",[["gt",[["var",[["clamp_max",[["mean",[["sqrt",[["asinh",['
    b'["square",[["sigmoid",[["relu",[["detach",[["exp",[["div",[["softplus",['
    b'{"schema":1,"contract":"classification","nodes":[["input",[],{"name":"logits"}],["input",[],{"name":"targets"}],'
    b'{"schema":1,"contract":"preference","nodes":[["input",[],{"name":"beta"}],'
    b'["input",[],{"name":"policy_chosen_logps"}],["input",[],{"name":"policy_rejected_logps"}],["sub",[1,2]],'
    b'["input",[],{"name":"reference_chosen_logps"}],["input",[],{"name":"reference_rejected_logps"}],["sub",[4,5]],'
    b'["sub",[3,6]],["mul",[0,7]],["neg",[8]],["softplus",[9]],["const",[],{"value":1.0}],["const",[],{"value":0.0}],'
    b'["const",[],{"value":-1.0}],["const",[],{"value":0.5}],["mul",[10,11]],["add",[12,13]],["sub",[14,15]]],"output":16}'
    b'],"output":'
    b"1.0,-1.0,0.0,-0.0,0.5,-0.5,e-05,-e-06,e-07,-e-08,e-09,-e-10,e-11,-e-12,e-13,-e+300,-0.0"
    b'{"key":"f1:","scale_key":"f1:","beta_key":"f1:","vector":[-0.'
)
_FORMS = {1: _WORDS_1}


def pack(text: str) -> bytes:
    """A text in the newest form. Lone surrogates are preserved."""
    return b"\x01" + _deflated(_raw(text), _WORDS_1)


def is_packed(blob: bytes) -> bool:
    """Whether a value is packed. zlib data without a form, which older versions wrote in some columns, begin with 0x78."""
    return blob[:1] != b"\x78"


def unpack(blob: bytes, where: str) -> str:
    """The text that `pack` was given. CorruptArchive for other data, and for more than `LARGEST_UNPACKED` bytes."""
    words = _FORMS.get(blob[0]) if blob else None
    if words is None:
        raise _other_form(blob, where)
    return _text(_inflated(blob[1:], words, where), where)


def unpack_start(blob: bytes, most: int, where: str) -> str:
    """The beginning of an ASCII text that `pack` was given, at most `most` characters; "" if there are other characters in it."""
    words = _FORMS.get(blob[0]) if blob else None
    if words is None:
        raise _other_form(blob, where)
    try:
        raw = zlib.decompressobj(zdict=words).decompress(blob[1:], most)
    except zlib.error as error:
        raise CorruptArchive(f"{where} should hold zlib data: {error}; get a fresh copy of the archive") from error
    return raw.decode("ascii") if raw.isascii() else ""


def pack_like(text: str, model: str) -> bytes:
    """`text` as zlib data with the end of `model` as dictionary. Lone surrogates are preserved."""
    return _deflated(_raw(text), _raw(model)[-_WINDOW:])


def unpack_like(blob: bytes, model: str, where: str) -> str:
    """The text that `pack_like` was given. CorruptArchive for other data, another `model`, and too much of it."""
    return _text(_inflated(blob, _raw(model)[-_WINDOW:], where), where)


def _other_form(blob: bytes, where: str) -> CorruptArchive:
    return CorruptArchive(f"{where} should hold a packed value of the form 1, but begins with {blob[:1]!r}")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _deflated(raw: bytes, dictionary: bytes) -> bytes:
    stream = zlib.compressobj(9, zdict=dictionary)
    return stream.compress(raw) + stream.flush()


def _inflated(blob: bytes, dictionary: bytes, where: str) -> bytes:
    try:
        stream = zlib.decompressobj(zdict=dictionary)
        raw = stream.decompress(blob, LARGEST_UNPACKED)
    except (TypeError, zlib.error) as error:
        raise CorruptArchive(f"{where} should hold zlib data: {error}; get a fresh copy of the archive") from error
    if not stream.eof:
        raise CorruptArchive(f"{where} should hold zlib data, complete and at most {LARGEST_UNPACKED} bytes long")
    return raw


def _text(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise CorruptArchive(f"{where} should hold UTF-8: {error}; get a fresh copy of the archive") from error
