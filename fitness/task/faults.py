"""Error messages for invalid options: one line per fault, with the key as the user writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

LONGEST_SHOWN = 80
"""Most characters of a wrong value in a message."""

_EXPECTED = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "string": "text", "path": "a path",
    "tuple": "a list", "list": "a list", "mapping": "keys and values", "dict": "keys and values", "model": "keys and values",
}  # fmt: skip
"""Description of the expected value, by the first word of pydantic's error type."""

_LIMITS = {
    "greater_than": ("gt", "a number above {}"), "greater_than_equal": ("ge", "a number of at least {}"),
    "less_than": ("lt", "a number below {}"), "less_than_equal": ("le", "a number of at most {}"),
    "finite_number": ("", "a finite number"), "too_short": ("min_length", "a list of length {} or more"),
    "too_long": ("max_length", "a list of length {} or less"),
}  # fmt: skip


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean KNOWN?` if one of the known names is close, else ""."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def faults(
    error: ValidationError,
    model: type[BaseModel],
    prefix: str = "",
    others: Mapping[str, type[BaseModel]] | None = None,
) -> list[str]:
    """One line per fault of data that failed to validate as `model`; the user writes its keys after `prefix`.

    `others` are the models of other sections by their prefix. A misplaced key gets a hint to its section.
    """
    elsewhere = [
        *_keys(model, prefix),
        *(key for place, other in (others or {}).items() for key in _keys(other, place)),
    ]
    found: dict[str, str] = {}
    for entry in error.errors():
        key, line = _fault(entry, model, prefix, elsewhere)
        before, got, rest = found.get(key, "").partition(", got ")
        # Pydantic reports each member of a union separately: `expected text, got 3` and `expected a list, got 3`.
        found[key] = f"{before} or {line.partition(': expected ')[2]}" if got and line.endswith(got + rest) else line
    return list(found.values())


def _fault(entry: Any, model: type[BaseModel], prefix: str, elsewhere: Sequence[str]) -> tuple[str, str]:
    """The key and the message of one pydantic error."""
    key, section = _place(entry["loc"], model, prefix)
    kind, context = entry["type"], entry.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted({name for one in section for name in one.model_fields})
        meant = _meant(key, known, elsewhere)
        return (
            key,
            f"unknown key {key}{f': did you mean {meant}? Known' if meant else '; known'} there: {', '.join(known)}",
        )
    if kind == "missing":
        name = str(entry["loc"][-1])
        meaning = next((f.description for m in section if (f := m.model_fields.get(name)) and f.description), None)
        return key, f"{key} is required" + (f": {meaning}" if meaning else "")
    if kind == "value_error":
        said = str(context["error"])
        if not entry["loc"]:
            return said, said
        return key, f"{key}: {said}" + ("" if "got" in said else f", got {_shown(entry['input'])}")
    if kind.startswith("union_tag"):
        key = f"{key}.{context['discriminator'].strip(chr(39))}"
    return key, f"{key or 'the configuration'}: expected {_expected(kind, context, entry)}"


def _expected(kind: str, context: Mapping[str, Any], entry: Any) -> str:
    value = entry["input"]
    if kind.startswith("union_tag"):
        value = context.get("tag", value)
    choices = context.get("expected_tags") or (context.get("expected") if kind == "literal_error" else None)
    if choices:
        names = [part.strip().strip("'") for part in choices.replace(" or ", ", ").split(",")]
        meant = did_you_mean(value, names) if isinstance(value, str) else ""
        return f"one of {', '.join(names)}, got {_shown(value)}{meant}"
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        limit = context.get(name, "")
        return f"{words.format(f'{limit:g}' if isinstance(limit, float) else limit)}, got {_shown(value)}"
    return f"{_EXPECTED.get(kind.split('_')[0]) or entry['msg']}, got {_shown(value)}"


def _shown(value: Any) -> str:
    """A value on one line, roughly as in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def _meant(key: str, known: Sequence[str], elsewhere: Sequence[str]) -> str:
    """Suggested keys: those of any section with the same last part, else a close one of this section, else close ones elsewhere."""
    place, _, name = key.rpartition(".")
    same = [other for other in elsewhere if other.rpartition(".")[2] == name and other != key]
    if same:
        return " or ".join(same[:3])
    close = get_close_matches(name, known, n=1)
    if close:
        return ".".join(filter(None, (place, close[0])))
    far = get_close_matches(name, [other.rpartition(".")[2] for other in elsewhere], n=1, cutoff=0.8)
    return " or ".join([other for other in elsewhere if other.rpartition(".")[2] in far][:3])


def _place(
    location: Sequence[int | str], model: type[BaseModel], prefix: str
) -> tuple[str, tuple[type[BaseModel], ...]]:
    """The key as the user wrote it, and the models that were searched for its last part.

    In pydantic's location the tag of a union's member stands between the parts. The user did not write it, so it is removed.
    """
    key = prefix
    found: tuple[type[BaseModel], ...] = (model,)
    inside = found
    for part in location:
        if isinstance(part, int):
            key, found = f"{key}[{part}]", ()
            continue
        found = inside
        field = next((m.model_fields[part] for m in found if part in m.model_fields), None)
        named = tuple(m for m in found if part in _tags(m))
        if field is None and named and len(found) > 1:
            inside = named
            continue
        if field is None and not found:
            continue
        key = f"{key}.{part}" if key else str(part)
        inside = tuple(_models(field.annotation)) if field else ()
    return key, found


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    return tuple(tag for field in model.model_fields.values() for tag in get_args(field.annotation))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """All models in an annotation, including members of unions and optional types."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _keys(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Every key of a model and of its sections."""
    for name, field in model.model_fields.items():
        key = f"{prefix}.{name}" if prefix else name
        yield key
        for section in _models(field.annotation):
            yield from _keys(section, key)
