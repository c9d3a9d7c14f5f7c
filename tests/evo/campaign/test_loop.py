"""What a campaign makes of a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archive.query import Reader
from archive.records import CandidateRow, RunRow
from archive.store import Archive
from evo.campaign.loop import Campaign
from evo.config.schema import parse_config
from evo.proposing.propose import BuiltinProposer
from evo.search.duplicates import Identities
from evo.search.population import Population
from evo.search.select import Settings, repairable
from fitness.task.protocol import task_info
from fitness.workers.pool import WorkerPool
from sandbox.verdicts.verdict import Severity
from sandbox.vetting.pool import VetPool

BENT = """
def bent(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    return 1 - torch.sigmoid(beta * rho)
"""
"""Not convex, which is a note: SBX325."""

pytest.importorskip("torch")


@contextmanager
def campaign(folder: Path, **settings: object) -> Iterator[Campaign]:
    """A campaign that vets in earnest and trains nothing."""
    config = parse_config({"workers": 1, **settings})
    info = task_info(config.task)
    row = RunRow(config.name, config.seed, config.task, info.contract, baseline="dpo")
    with (
        Archive.create(folder / "archive.db", row) as archive,
        Reader.open(folder / "archive.db") as reader,
        VetPool(contract=info.contract) as vetter,
    ):
        identities, population = Identities.of(reader, vetter.same_loss), Population(config, info, 1)
        pool = WorkerPool(config.task, {}, 1)
        yield Campaign(config, archive, reader, population, identities, BuiltinProposer(), vetter, pool)


def proposed(running: Campaign, step: int) -> CandidateRow:
    """The candidate that a reply of this step brought."""
    proposal = running.archive.request_proposal(
        step, 1, "explore", "openai", "m", 0.7, "t", {"island": 0, "parents": []}, 1
    )
    running.archive.receive_proposal(proposal, "reply")
    made = running.archive.add_candidate("proposal", "bent", "", BENT, "preference", proposal, [])
    return running.reader.candidate(made)


def judged(running: Campaign, candidate: CandidateRow) -> bool:
    """Whether it may be trained, once its verdict is recorded."""
    return running.record(candidate, asyncio.run(running.vet(candidate)))


def test_a_note_that_the_run_refuses_refuses_and_can_be_repaired(tmp_path: Path) -> None:
    with campaign(tmp_path, refuse_notes=["SBX325"]) as running:
        kto = running.archive.add_candidate("seed", "kto_pair", "", "", "preference")
        assert judged(running, running.reader.candidate(kto)), "a loss that the user starts from is the user's choice"
        candidate = proposed(running, 1)
        assert not judged(running, candidate)
        verdict, findings = running.reader.verdict(candidate.id), running.reader.findings(candidate.id)
        assert verdict is not None and verdict.status == "refused" and verdict.fingerprint is None
        (refusal,) = [f for f in findings if f.severity == Severity.REFUSE]
        assert refusal.rule == "SBX325" and refusal.remedy
        members = running.population.advance(running.reader).members()
        assert [m.candidate_id for m in repairable(members, 0, Settings(islands=1))] == [candidate.id]


def test_by_default_a_note_is_a_note(tmp_path: Path) -> None:
    with campaign(tmp_path) as running:
        candidate = proposed(running, 1)
        assert judged(running, candidate)
        assert "SBX325" in {f.rule for f in running.reader.findings(candidate.id)}
