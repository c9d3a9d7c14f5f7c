"""Output formats of `check`: text, JSON, SARIF 2.1.0, JUnit XML. All text that a model wrote is escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.verdicts.render import printable
from sandbox.verdicts.verdict import Finding, Severity, Verdict
from sandbox.vetting.cli.inputs import Item

if TYPE_CHECKING:
    from sandbox.verdicts.rules import Rule

_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


@dataclass(frozen=True, slots=True)
class Result:
    """An item and its verdict, which is None if the item could not be read."""

    item: Item
    verdict: Verdict | None


def as_text(result: Result) -> str:
    """The result as text: for each finding a line with path:line:column and its remedy, then the status."""
    name = printable(result.item.name, 400)
    if result.verdict is None:
        return f"{name}: error: {printable(result.item.error, 400)}"
    verdict = result.verdict
    lines = [part for f in verdict.findings for part in _finding_lines(name, f)]
    facts = [
        verdict.status.value,
        *([f"hash {verdict.hash}"] if verdict.hash else []),
        f"{verdict.milliseconds:.0f} ms",
    ]
    return "\n".join([*lines, f"{name}: {', '.join(facts)}"])


def _finding_lines(name: str, f: Finding) -> list[str]:
    place = f":{f.line}:{f.column}" if f.line is not None else ""
    label = "" if f.severity is Severity.REFUSE else "note: "
    lines = [f"{name}{place}: {f.rule} {label}{printable(f.message, 400)}"]
    return [*lines, f"    {printable(f.remedy, 600)}"] if f.remedy and f.severity is Severity.REFUSE else lines


def as_json(result: Result, *, line: bool = False) -> dict[str, Any]:
    """The result as JSON types; for JSON lines with the line's id instead of a path."""
    head = {"id": result.item.id} if line else {"path": result.item.name}
    if result.verdict is None:
        where = {"line": result.item.name} if line else {}
        return {**head, **where, "accepted": False, "error": result.item.error}
    return {**head, **result.verdict.to_json()}


def dumped(data: Any, *, indent: int | None = None) -> str:
    """JSON in ASCII, without control characters, `</script>` and terminal escapes."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, indent=indent)
    return text.replace("</", "<\\/").replace("\x7f", "\\u007f")


def as_sarif(results: Sequence[Result]) -> dict[str, Any]:
    """All results as one SARIF log, for code-scanning viewers."""
    from sandbox.verdicts.rules import RULES

    used = sorted({f.rule for r in results if r.verdict for f in r.verdict.findings})
    return {
        "$schema": _SARIF,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "evopo-sandbox", "rules": [_sarif_rule(RULES[c]) for c in used]}},
                "columnKind": "unicodeCodePoints",
                "invocations": [
                    {
                        "executionSuccessful": all(r.verdict is not None for r in results),
                        "toolExecutionNotifications": [_notification(r.item) for r in results if r.verdict is None],
                    }
                ],
                "results": [
                    _sarif_result(r.item, f, used.index(f.rule))
                    for r in results
                    if r.verdict
                    for f in r.verdict.findings
                ],
            }
        ],
    }


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": "".join(w.capitalize() for w in rule.title.split() if w.isalnum()),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.explanation},
        "help": {"text": rule.advice},
        "defaultConfiguration": {"level": _level(rule.severity)},
    }


def _level(severity: Severity) -> str:
    return "error" if severity is Severity.REFUSE else "note"


def _sarif_result(item: Item, f: Finding, index: int) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(item.name)}}
    if f.line is not None:
        location["region"] = {"startLine": f.line, "startColumn": f.column or 1}
    message = f"{printable(f.message, 400)}. {printable(f.remedy, 600)}" if f.remedy else printable(f.message, 400)
    return {
        "ruleId": f.rule,
        "ruleIndex": index,
        "level": _level(f.severity),
        "message": {"text": message},
        "locations": [{"physicalLocation": location}],
    }


def _notification(item: Item) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": printable(item.error, 400)},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(item.name)}}}],
    }


def _uri(name: str) -> str:
    from urllib.parse import quote

    return quote(name, errors="surrogateescape")


def as_junit(results: Sequence[Result]) -> str:
    """All results as JUnit XML: one test case per candidate; a refusal is a failure, an unreadable item an error."""
    cases = [_case(r) for r in results]
    failures = sum(bool(r.verdict and r.verdict.refusals) for r in results)
    errors = sum(r.verdict is None for r in results)
    head = f'<testsuite name="evopo-sandbox" tests="{len(results)}" failures="{failures}" errors="{errors}">'
    return "\n".join(
        ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", head, *cases, "</testsuite>", "</testsuites>"]
    )


def _case(result: Result) -> str:
    name = f"name={_attribute(result.item.name)} classname={_attribute('sandbox')}"
    if result.verdict is None:
        return f"<testcase {name}><error message={_attribute(result.item.error)}/></testcase>"
    name += f' time="{result.verdict.milliseconds / 1000:.4f}"'
    failures = [
        f"<failure type={_attribute(f.rule)} message={_attribute(_place(f) + f.message + '. ' + f.remedy)}/>"
        for f in result.verdict.refusals
    ]
    notes = [_place(f) + f"{f.rule} {f.message}" for f in result.verdict.findings if f.severity is Severity.NOTE]
    output = [f"<system-out>{_content(chr(10).join(notes))}</system-out>"] if notes else []
    return f"<testcase {name}>{''.join(failures + output)}</testcase>"


def _place(f: Finding) -> str:
    return f"line {f.line}, column {f.column}: " if f.line is not None else ""


def _attribute(text: str) -> str:
    from xml.sax.saxutils import quoteattr  # slow to import, and needed for JUnit only

    return quoteattr(_xml_text(text))


def _content(text: str) -> str:
    from xml.sax.saxutils import escape

    return escape("\n".join(_xml_text(line) for line in text.split("\n")))


def _xml_text(text: str) -> str:
    """Text with only characters that XML 1.0 allows: `printable` escapes controls; what remains above is checked."""
    shown = printable(text, 1200)
    return "".join(c if ord(c) < 0xD800 or 0xE000 <= ord(c) <= 0xFFFD or ord(c) >= 0x10000 else "?" for c in shown)
