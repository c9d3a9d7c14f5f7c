"""The commands of `evopo-sandbox`.

Exit codes: 0 nothing refused, 1 something refused (or two losses differ), 2 wrong use or unreadable input.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import click

from sandbox.child.jail.isolate import GUARANTEES
from sandbox.contracts.contract import contract_named
from sandbox.contracts.naming import check_arguments
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.verdicts.render import printable
from sandbox.verdicts.terminal import Program
from sandbox.verdicts.unavailable import SandboxUnavailable
from sandbox.verdicts.verdict import Verdict
from sandbox.vetting.cli import outputs
from sandbox.vetting.cli.inputs import Item, collect, collect_lines
from sandbox.vetting.cli.outputs import Result
from sandbox.vetting.path import in_the_way
from sandbox.vetting.vet import Vetter

if TYPE_CHECKING:
    from sandbox.vetting.pool import VetPool

_CONTRACT = click.option(
    "--contract",
    metavar="NAME",
    callback=lambda context, option, name: _known_contract(name),
    default="preference",
    show_default=True,
    help="Contract of the loss: preference, classification, or one of an installed package.",
)


def _known_contract(name: str) -> str:
    try:
        return contract_named(name).name
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_MISSING = click.option(
    "--accept-missing",
    multiple=True,
    metavar="GUARANTEE",
    type=click.Choice(GUARANTEES),
    help=f"Vet sources although this machine does not supply a guarantee of the jail ({', '.join(GUARANTEES)}). "
    "The verdict records it.",
)


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",")) if value is not None else ()


_ARGUMENTS = click.option(
    "--arguments",
    metavar="A,B,...",
    callback=_names,
    help="Names of the loss's parameters in the order of the contract's arguments, if they are not recognised.",
)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Vet loss code that a model wrote, without running it in this process.

    Exit codes: 0 nothing refused, 1 something refused, 2 wrong use or unreadable input.
    """


@main.command()
@click.argument("paths", nargs=-1, metavar="FILE|DIR|-...")
@click.option(
    "--jsonl",
    is_flag=True,
    help='Read JSON lines {"id", "code"}, from standard input if there is no FILE; write one verdict per line.',
)
@click.option("--json", "form", flag_value="json", help="Write one JSON array.")
@click.option("--sarif", "form", flag_value="sarif", help="Write a SARIF 2.1.0 log.")
@click.option("--junit", "form", flag_value="junit", help="Write JUnit XML.")
@click.option("--no-numeric", is_flag=True, help="Static checks and tracing only, without torch: at best `partial`.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Number of vetting processes."
)
@_CONTRACT
@_ARGUMENTS
@_MISSING
@click.pass_obj
def check(
    vetter: Vetter,
    paths: tuple[str, ...],
    jsonl: bool,
    form: str | None,
    no_numeric: bool,
    workers: int,
    contract: str,
    arguments: tuple[str, ...],
    accept_missing: tuple[str, ...],
) -> None:
    """Vet candidates: files, directories, `-` for standard input, graphs as .json files."""
    if not paths and not jsonl:
        raise click.UsageError("name a file, a directory, or - for standard input")
    if jsonl and form not in (None, "json"):
        raise click.UsageError("--jsonl writes JSON lines; it cannot be combined with --sarif or --junit")
    items = collect_lines(paths or ("-",)) if jsonl else collect(paths)
    _check_names(contract, arguments)
    options: dict[str, Any] = {"numeric": not no_numeric, "accept_missing": accept_missing, "arguments": arguments}
    results = _vetted(items, vetter, workers, contract, options)
    write = click.echo
    seen: list[Result] = []
    try:
        for result in results:
            seen.append(Result(Item(result.item.name, error=result.item.error), result.verdict))
            if jsonl:
                write(outputs.dumped(outputs.as_json(result, line=True)))
            elif form is None:
                write(outputs.as_text(result))
    except SandboxUnavailable as error:
        _unavailable(error)
    if form == "json" and not jsonl:
        write(outputs.dumped([outputs.as_json(r) for r in seen], indent=2))
    elif form == "sarif":
        write(outputs.dumped(outputs.as_sarif(seen), indent=2))
    elif form == "junit":
        write(outputs.as_junit(seen))
    elif form is None and not jsonl and len(seen) > 1:
        write(_summary(seen), err=True)
    raise SystemExit(_exit_code(seen))


def _check_names(contract: str, arguments: tuple[str, ...]) -> None:
    try:
        check_arguments(contract_named(contract), arguments)
    except ValueError as error:
        raise click.UsageError(f"--arguments: {error}") from None


def _vetted(
    items: Iterable[Item], vetter: Vetter, workers: int, contract: str, options: dict[str, Any]
) -> Iterator[Result]:
    """The result of each item, in order. Raises SandboxUnavailable."""
    if workers == 1:
        with vetter:
            for item in items:
                yield _result(item, lambda item: _verdict(item, vetter, contract, options))
        return
    from collections import deque
    from concurrent.futures import Future, ThreadPoolExecutor

    from sandbox.vetting.pool import VetPool

    vetter.close()
    with VetPool(workers, contract, **options) as pool, ThreadPoolExecutor(workers) as threads:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(threads.submit(_result, item, lambda item: _pooled(item, pool)))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


def _result(item: Item, vet: Callable[[Item], Verdict]) -> Result:
    """The verdict on an item, or the reason why there is none. An internal error affects one item and never the batch."""
    if item.error:
        return Result(item, None)
    try:
        return Result(item, vet(item))
    except SandboxUnavailable:  # the other items would fail too
        raise
    except Exception as error:
        message = f"internal error, please report it with this candidate: {type(error).__name__}: {error}"
        if why := in_the_way(traceback.format_exc()):
            message = f"{type(error).__name__}: {error}; {why}"
        return Result(replace(item, error=message), None)


def _verdict(item: Item, vetter: Vetter, contract: str, options: dict[str, Any]) -> Verdict:
    if item.graph is not None:
        return vetter.vet_graph(item.graph, numeric=options["numeric"])
    return vetter.vet(item.source, contract, **options)


def _pooled(item: Item, pool: VetPool) -> Verdict:
    from sandbox.vetting.pool import WorkerFailed

    try:
        return pool.vet_graph(item.graph) if item.graph is not None else pool.vet(item.source)
    except WorkerFailed as error:
        raise SandboxUnavailable(str(error)) from None


def _unavailable(error: SandboxUnavailable) -> NoReturn:
    click.echo(f"Error: {error}", err=True)
    raise SystemExit(2)


def _exit_code(results: Iterable[Result]) -> int:
    verdicts = [r.verdict for r in results]
    if any(v is None for v in verdicts):
        return 2
    return 1 if any(v is not None and v.refusals for v in verdicts) else 0


def _summary(results: list[Result]) -> str:
    counts: dict[str, int] = {}
    for r in results:
        status = r.verdict.status.value if r.verdict else "unreadable"
        counts[status] = counts.get(status, 0) + 1
    return f"{len(results)} checked: " + ", ".join(f"{n} {status}" for status, n in counts.items())


@main.command()
@click.argument("file")
@click.option(
    "--as", "form", type=click.Choice(["python", "latex", "trl", "json"]), default="python", show_default=True
)
@_CONTRACT
@_ARGUMENTS
@_MISSING
@click.pass_obj
def show(
    vetter: Vetter, file: str, form: str, contract: str, arguments: tuple[str, ...], accept_missing: tuple[str, ...]
) -> None:
    """Print the loss that a file computes: as plain Python, LaTeX, a TRL snippet, or its graph as JSON."""
    _check_names(contract, arguments)
    with vetter:
        graph = _graph_of(file, vetter, contract, accept_missing, arguments)
    if form == "trl" and not contract_named(graph.contract).trl:
        raise click.UsageError(f"TRL's DPOTrainer takes preference losses, this is a {graph.contract} loss")
    click.echo(_printers()[form](graph))


def _printers() -> dict[str, Callable[[VerifiedGraph], str]]:
    from sandbox.graph import printers

    return {
        "python": printers.to_python,
        "latex": printers.to_latex,
        "trl": printers.to_trl,
        "json": VerifiedGraph.to_json,
    }


def _graph_of(
    path: str, vetter: Vetter, contract: str, accept_missing: tuple[str, ...], arguments: tuple[str, ...]
) -> VerifiedGraph:
    """The graph of one file. Without a graph, print the findings and exit."""
    items = list(collect([path]))
    if len(items) != 1:
        raise click.UsageError(f"expected one file, got a directory: {printable(path, 400)}")
    options: dict[str, Any] = {"numeric": False, "accept_missing": accept_missing, "arguments": arguments}
    try:
        result = _result(items[0], lambda item: _verdict(item, vetter, contract, options))
    except SandboxUnavailable as error:
        _unavailable(error)
    if result.verdict is None or result.verdict.graph is None:
        click.echo(outputs.as_text(result), err=True)
        raise SystemExit(2 if result.verdict is None else 1)
    return result.verdict.graph


@main.command()
@click.argument("a")
@click.argument("b")
@_CONTRACT
@_ARGUMENTS
@_MISSING
@click.pass_obj
def diff(
    vetter: Vetter, a: str, b: str, contract: str, arguments: tuple[str, ...], accept_missing: tuple[str, ...]
) -> None:
    """Compare two losses: whether they train in the same way, and where they differ. Exit code 0: the same, 1: not.

    --arguments applies to both; a loss without these names is matched by its own names.
    """
    _check_names(contract, arguments)
    with vetter:
        first, second = (_graph_of(path, vetter, contract, accept_missing, arguments) for path in (a, b))
    from sandbox.vetting.cli.compare import compared

    text, same = compared(first, second)
    click.echo(text)
    raise SystemExit(0 if same else 1)


@main.command()
@click.argument("code")
def explain(code: str) -> None:
    """Explain a rule, with an example that it refuses and one that it does not."""
    import difflib

    from sandbox.verdicts.rules import RULES

    rule = RULES.get(code.upper())
    if rule is None:
        near = difflib.get_close_matches(code.upper(), list(RULES), n=3, cutoff=0.5)
        hint = f" Similar: {', '.join(near)}." if near else ""
        raise click.UsageError(f"there is no rule {printable(code, 40)}.{hint} List them with: evopo-sandbox rules")
    parts = [f"{rule.code}: {rule.title} ({rule.severity.value})", rule.explanation, f"What to do: {rule.advice}"]
    if rule.bad:
        parts += [f"Bad:\n\n{_indented(rule.bad)}", f"Good:\n\n{_indented(rule.good)}"]
    click.echo("\n\n".join(parts))


def _indented(source: str) -> str:
    """An example from the catalogue, indented, with control characters escaped and long examples cut."""
    lines = [printable(line, 132) for line in source.rstrip("\n").split("\n")]
    shown = lines if len(lines) <= 20 else [*lines[:8], f"... ({len(lines)} lines)"]
    return "\n".join(f"    {line}" if line else "" for line in shown)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option("--syntax", is_flag=True, help="List the allowed syntax, builtins and modules instead.")
@click.option("--operations", is_flag=True, help="List the calls that source may make instead.")
def rules(as_json: bool, syntax: bool, operations: bool) -> None:
    """List the rules, the allowed syntax, or the allowed calls."""
    if syntax:
        click.echo(_syntax())
        return
    if operations:
        from sandbox.child.allowlist.calls import CALLS

        click.echo("\n".join(c.signature for c in CALLS))
        return
    from sandbox.verdicts.rules import RULES

    if as_json:
        known = [
            {"code": r.code, "title": r.title, "severity": r.severity.value, "remedy": r.remedy, "line": r.line}
            for r in RULES.values()
        ]
        click.echo(outputs.dumped(known, indent=2))
        return
    click.echo("\n".join(f"{r.code}  {r.severity.value:6}  {r.title}" for r in RULES.values()))


def _syntax() -> str:
    from sandbox.child.allowlist import limits

    nodes = " ".join(sorted(n.__name__ for n in limits.SYNTAX))
    return "\n".join(
        [
            f"syntax: {nodes}",
            f"builtins: {' '.join(sorted(limits.BUILTINS))}",
            f"modules: {' '.join(sorted(limits.MODULES))}",
            f"in scope: {' '.join(limits.PRELUDE)}",
        ]
    )


@main.command()
@click.option(
    "--without", multiple=True, metavar="LAYER", help="Leave out a layer of the jail, to see what the others prevent."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def doctor(without: tuple[str, ...], as_json: bool) -> None:
    """Try forbidden actions inside the jail, and print which were prevented. Exit code 0: all of them, 1: not all."""
    from sandbox.child.jail.isolate import LAYERS
    from sandbox.vetting.cli.doctor import as_text, examine

    unknown = set(without) - set(LAYERS)
    if unknown:
        raise click.UsageError(f"unknown layer {printable(min(unknown), 40)}: expected one of {', '.join(LAYERS)}")
    report = examine(frozenset(without))
    click.echo(outputs.dumped(report.to_json(), indent=2) if as_json else as_text(report))
    raise SystemExit(0 if report.held else 1)
