"""Vetting: source or graph in, Verdict out.

    from sandbox.vetting.vet import vet
    verdict = vet(source)

This process never parses or executes the source. A jailed child of the zygote reads it, and answers with a graph, which is
verified and tested here, or with rule codes, which are rendered here as findings. See docs/sandbox.md.
"""

from __future__ import annotations

import atexit
import signal
import threading
import time
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox.child.allowlist.limits import MAX_SOURCE_BYTES
from sandbox.child.jail.isolate import GUARANTEES, guarantees
from sandbox.child.protocol import Answer, SourceSpan, Violation
from sandbox.contracts.contract import Contract, contract_named
from sandbox.contracts.naming import check_arguments
from sandbox.graph.loss_graph import LossGraph, VerifiedGraph, verify
from sandbox.graph.nodes import GraphError
from sandbox.verdicts.render import entry_name, finding, graph_finding, note, plain
from sandbox.verdicts.unavailable import NO_TORCH, SandboxUnavailable
from sandbox.verdicts.verdict import Finding, Verdict, VerdictStatus

if TYPE_CHECKING:
    from sandbox.vetting.zygote import Reply, Zygote

ACCEPTED_MISSING = "accepted-missing"
NOT_NEEDED = "not-needed"


class Vetter:
    """Vets candidates with one zygote, which starts with the first source. Thread-safe. Close it, or use it in a `with`.

    `without` names layers of the jail to leave out, as if this machine did not have them.
    """

    def __init__(self, *, without: Iterable[str] = ()) -> None:
        self._without = tuple(without)
        self._zygote: Zygote | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Vetter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the zygote."""
        if self._zygote is not None:
            self._zygote.stop()

    def launch(self) -> None:
        """Start the zygote now, without waiting for it, so that the first candidate waits less. Raises SandboxUnavailable."""
        self._running().launch()

    def vet(
        self,
        source: str | bytes,
        contract: str = "preference",
        *,
        numeric: bool = True,
        accept_missing: Iterable[str] = (),
        arguments: Sequence[str] = (),
    ) -> Verdict:
        """Vet the source of one loss.

        Without `numeric` the verdict is PARTIAL at best, and torch is not loaded. `accept_missing` names guarantees of the jail
        (files, network, processes, signals, time, memory) that may be absent on this machine; the verdict records it.
        `arguments` are the names of the contract's arguments in the source, in the contract's order: all of them, the tensors
        only, or the policy's two for a loss without a reference. Without them names are matched as docs/sandbox.md describes.
        Raises ValueError for an unknown contract or guarantee and for arguments that cannot be names, SandboxUnavailable if no
        isolated interpreter starts.
        """
        started = time.perf_counter()
        terms = contract_named(contract)
        check_arguments(terms, arguments)
        accepted = _known_guarantees(accept_missing)
        text = readable(source)
        if isinstance(text, Finding):
            return _verdict(contract, [text], started)
        reply = self._running().trace(text.encode(), terms, accepted, arguments)
        found, graph, entry = read_reply(reply, text, terms)
        given = _guarantees(reply, accepted)
        return _judged(contract, found, graph, started, numeric=numeric, entry=entry, given=given)

    def vet_graph(self, graph: LossGraph | str | bytes, *, numeric: bool = True) -> Verdict:
        """Vet a loss that is given as a graph, from the built-in proposer or as JSON from an archive. Needs no jail."""
        started = time.perf_counter()
        found: list[Finding] = []
        verified: VerifiedGraph | None = None
        try:
            verified = verify(graph) if isinstance(graph, LossGraph) else VerifiedGraph.from_json(graph)
        except GraphError as error:
            found = [graph_finding(error)]
        contract = graph.contract if isinstance(graph, LossGraph) else verified.contract if verified else ""
        given = dict.fromkeys(GUARANTEES, NOT_NEEDED)
        return _judged(contract, found, verified, started, numeric=numeric, entry="", given=given)

    def _running(self) -> Zygote:
        from sandbox.vetting.zygote import Zygote

        with self._lock:
            if self._zygote is None:
                self._zygote = Zygote(self._without)
            return self._zygote


_DEFAULT = Vetter()
atexit.register(_DEFAULT.close)


def vet(
    source: str | bytes,
    contract: str = "preference",
    *,
    numeric: bool = True,
    accept_missing: Iterable[str] = (),
    arguments: Sequence[str] = (),
) -> Verdict:
    """Vet the source of one loss in this process, with a zygote that is kept for the next call. See `Vetter.vet`."""
    return _DEFAULT.vet(source, contract, numeric=numeric, accept_missing=accept_missing, arguments=arguments)


def vet_graph(graph: LossGraph | str | bytes, *, numeric: bool = True) -> Verdict:
    """Vet a loss that is given as a graph. See `Vetter.vet_graph`."""
    return _DEFAULT.vet_graph(graph, numeric=numeric)


def _known_guarantees(names: Iterable[str]) -> frozenset[str]:
    accepted = frozenset(names)
    unknown = accepted - frozenset(GUARANTEES)
    if unknown:
        raise ValueError(f"unknown guarantee {min(unknown)!r}: expected one of {', '.join(GUARANTEES)}")
    return accepted


def readable(source: str | bytes) -> str | Finding:
    """The source as text, or a finding: the checks of size, encoding and NUL bytes, the only ones that this process makes."""
    if len(source) > MAX_SOURCE_BYTES:
        return plain("SBX102", len(source), MAX_SOURCE_BYTES)
    try:
        raw = source.encode("utf-8") if isinstance(source, str) else source
        text = raw.decode("utf-8")
    except UnicodeError:
        return plain("SBX101")
    if len(raw) > MAX_SOURCE_BYTES:
        return plain("SBX102", len(raw), MAX_SOURCE_BYTES)
    if b"\0" in raw:
        return plain("SBX103")
    return text.removeprefix("\ufeff")


def read_reply(reply: Reply, source: str, contract: Contract) -> tuple[list[Finding], VerifiedGraph | None, str]:
    """Findings, the graph, and the name of the traced function. The findings are refusals if there is no graph, else notes."""
    trouble = _trouble(reply)
    if trouble is not None:
        return [trouble], None, ""
    try:
        answer = Answer.decode(reply.answer)
    except ValueError:
        return [plain("SBX243")], None, ""
    entry = entry_name(source, answer.entry)
    if answer.graph is None:
        return _findings(answer.violations, source, contract), None, entry
    try:
        graph = VerifiedGraph.from_json(answer.graph)
    except GraphError as error:
        return [graph_finding(error, source, answer.at)], None, entry
    if graph.contract != contract.name:
        return [plain("SBX243")], None, entry
    notes = [note(c, source, contract) for c in answer.notes]
    if None in notes:
        return [plain("SBX243")], None, entry
    return [n for n in notes if n is not None], graph, entry


def _trouble(reply: Reply) -> Finding | None:
    """The finding for a child that ended without an answer; None if there is an answer."""
    if reply.timed_out or reply.signal == signal.SIGXCPU:
        return plain("SBX240")
    if reply.signal == signal.SIGSYS:
        return plain("SBX245")
    if reply.signal:
        return plain("SBX242", reply.signal)
    if reply.out_of_memory:
        return plain("SBX241")
    if reply.failed:
        return plain("SBX243")
    return None


def _findings(violations: Iterable[Violation], source: str, contract: Contract) -> list[Finding]:
    """The violations as findings, in the order of the source, each once."""
    unique = dict.fromkeys(violations)
    ordered = sorted(unique, key=lambda c: (c.span or SourceSpan(0, 0, 0, 0)).line)
    return [finding(c, source, contract) for c in ordered]


def _guarantees(reply: Reply, accepted: frozenset[str]) -> dict[str, str]:
    given = guarantees(reply.layers)
    return {name: by or (ACCEPTED_MISSING if name in accepted else "") for name, by in given.items()}


def _judged(
    contract: str,
    found: list[Finding],
    graph: VerifiedGraph | None,
    started: float,
    *,
    numeric: bool,
    entry: str,
    given: dict[str, str],
) -> Verdict:
    """The verdict from the findings so far and the graph, if there is one: runs the numeric tests if `numeric`."""
    if graph is None or not numeric:
        return _verdict(contract, found, started, entry=entry, graph=graph, given=given)
    try:
        from sandbox.identity.checks import identified
        from sandbox.identity.compare import canonical_hash
        from sandbox.numeric import run
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise SandboxUnavailable(NO_TORCH) from None
        raise

    report = run.run(graph)
    findings, identity = [*found, *report.findings], identified(graph) if report.passed else None
    if isinstance(identity, Finding):
        findings, identity = [*findings, identity], None
    return Verdict(
        status=VerdictStatus.ACCEPTED if identity else VerdictStatus.REFUSED,
        findings=tuple(findings),
        contract=contract,
        entry=entry,
        graph=graph,
        hash=canonical_hash(graph),
        fingerprint=identity,
        descriptors=report.descriptors if identity else MappingProxyType({}),
        guarantees=given,
        milliseconds=_milliseconds(started),
    )


def _verdict(
    contract: str,
    found: list[Finding],
    started: float,
    *,
    entry: str = "",
    graph: VerifiedGraph | None = None,
    given: dict[str, str] | None = None,
) -> Verdict:
    return Verdict(
        status=VerdictStatus.PARTIAL if graph is not None else VerdictStatus.REFUSED,
        findings=tuple(found),
        contract=contract,
        entry=entry,
        graph=graph,
        guarantees=given or dict.fromkeys(GUARANTEES, NOT_NEEDED),
        milliseconds=_milliseconds(started),
    )


def _milliseconds(started: float) -> float:
    return (time.perf_counter() - started) * 1000
