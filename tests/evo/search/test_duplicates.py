"""A run's duplicates: found by their gradients, confirmed on fresh probes, recorded with the difference that was seen."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
from written import written

from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive
from evo.campaign.loop import Campaign
from evo.config.schema import parse_config
from evo.proposing.propose import BuiltinProposer
from evo.search.duplicates import DuplicateIndex
from evo.search.population import Population
from fitness.task import task_info
from fitness.workers.pool import WorkerPool
from sandbox import known
from sandbox.identity.sameness import Sameness
from sandbox.vetting.pool import VetPool

NEAR = "(rho + 1e-5 - 1 / (2 * beta)) ** 2"


@pytest.fixture(scope="module")
def pool():
    with VetPool() as pool:
        yield pool


@contextmanager
def _campaign(folder, pool):
    """A campaign of which nothing runs, with an archive to write to."""
    config = parse_config({})
    info = task_info(config.task)
    row = RunRow(config.name, 0, config.task, info.contract, baseline="dpo")
    with Archive.create(folder / "archive.db", row) as archive, Reader.open(folder / "archive.db") as reader:
        population = Population(config, info, 1)
        workers = WorkerPool(config.task, {}, 1)
        yield Campaign(config, archive, reader, population, {"builtin": BuiltinProposer()}, pool, workers)


def _recorded(campaign, name, graph, origin="proposal"):
    """Vets and records a loss: its id, and whether it may be trained."""
    proposal = None
    if origin == "proposal":
        step = 1 + len(campaign.reader.proposals())
        references = {"island": 0, "parents": []}
        proposal = campaign.archive.request_proposal(step, 1, "refine", "builtin", None, None, "t", references, 1)
        campaign.archive.receive_proposal(proposal, "reply")
    id = campaign.archive.add_candidate(origin, name, "", "def loss(): ...", "preference", proposal)
    return id, campaign.record(campaign.reader.candidate(id), campaign.vetter.vet_graph(graph))


def test_a_loss_that_differs_from_a_seed_by_less_than_training_can_notice_is_its_duplicate(tmp_path, pool):
    with _campaign(tmp_path, pool) as campaign:
        seeds = {name: _recorded(campaign, name, known.graph(name), "seed") for name in ("dpo", "ipo")}
        near, new = _recorded(campaign, "near", written(NEAR))
        row = campaign.reader.verdict(near)
        assert _recorded(campaign, "smoothed", written("0.99 * F.softplus(-x) + 0.01 * F.softplus(x)"))[1]
    assert not new and (row.duplicate_of, row.duplicate_kind) == (seeds["ipo"][0], "fingerprint")
    assert 0 < row.largest_difference <= 1e-4
    assert row.shown_by.startswith("its fingerprint: the policy's gradients differ by at most ")


def test_a_multiple_of_a_near_duplicate_is_called_by_the_seeds_name_whatever_its_keys(tmp_path, pool):
    with _campaign(tmp_path, pool) as campaign:
        _recorded(campaign, "ipo", known.graph("ipo"), "seed")
        id, new = _recorded(campaign, "scaled", written(f"2.5 * {NEAR}"))
        assert new
    with Reader.open(tmp_path / "archive.db") as reader:
        assert Snapshot.of(reader).known_as(id) == "ipo times a factor"


@pytest.mark.parametrize("fingerprint", [None, {}, {"key": "f1:a", "scale_key": "", "beta_key": "", "vector": ["x"]}])
def test_an_archive_whose_fingerprint_cannot_be_read_still_tells_equal_graphs(tmp_path, pool, fingerprint):
    path = tmp_path / "archive.db"
    verdict = pool.vet_graph(known.graph("dpo"))
    with Archive.create(path, RunRow("x", 0, "sentiment", "preference", baseline="dpo")) as archive:
        id = archive.add_candidate("seed", "dpo", "", "def loss(): ...", "preference")
        archive.record_verdict(id, verdict.to_json() | {"fingerprint": fingerprint})
    with Reader.open(path) as reader:
        match = DuplicateIndex.of(reader, pool.same_loss).find(verdict)
    assert match is not None and (match.candidate_id, match.kind) == (id, "hash")


def test_a_loss_is_the_duplicate_of_the_first_of_its_kind_before_and_after_a_restart(tmp_path, pool):
    with _campaign(tmp_path, pool) as campaign:
        first, _ = _recorded(campaign, "dpo", known.graph("dpo"), "seed")
        again, new = _recorded(campaign, "again", known.graph("dpo"))
        assert not new and campaign.reader.verdict(again).duplicate_of == first
        del campaign.duplicates  # so that it is read from the archive again, as in a session that begins
        third, new = _recorded(campaign, "third", known.graph("dpo"))
        assert not new and campaign.reader.verdict(third).duplicate_of == first


def test_a_session_that_begins_knows_the_losses_that_the_one_before_knew(tmp_path, pool):
    with _campaign(tmp_path, pool) as campaign:
        for name in ("dpo", "ipo"):
            _recorded(campaign, name, known.graph(name), "seed")
        _recorded(campaign, "near", written(NEAR))
        _recorded(campaign, "mine", written("F.softplus(1 - x)"))
        live, read = campaign.duplicates, DuplicateIndex.of(campaign.reader, pool.same_loss)
        verdicts = [pool.vet_graph(live.graph(id)) for id in (1, 2, 4)]
        for index in (read, live):
            assert [index.by_fingerprint.near(v.fingerprint)[0] for v in verdicts] == [1, 2, 4]
            assert len(index.by_fingerprint) == 3
    assert read.by_hash == live.by_hash


def test_what_was_refused_is_no_earlier_loss(tmp_path, pool):
    refused = pool.vet_graph(known.graph("dpo")).to_json() | {"status": "refused", "accepted": False}
    with _campaign(tmp_path, pool) as campaign:
        id = campaign.archive.add_candidate("seed", "dpo", "", "def loss(): ...", "preference")
        campaign.archive.record_verdict(id, refused)
        read = DuplicateIndex.of(campaign.reader, pool.same_loss)
    assert read.by_hash == {} and len(read.by_fingerprint) == 0


def test_an_earlier_loss_whose_graph_cannot_be_used_any_more_is_known_by_its_hash(tmp_path, pool):
    verdict = pool.vet_graph(known.graph("dpo"))
    old = verdict.to_json() | {"graph": verdict.graph.to_json().replace("logsigmoid", "an_operation_of_old")}
    assert old["graph"] != verdict.graph.to_json()
    with _campaign(tmp_path, pool) as campaign:
        id = campaign.archive.add_candidate("seed", "dpo", "", "def loss(): ...", "preference")
        campaign.archive.record_verdict(id, old)
        read = DuplicateIndex.of(campaign.reader, pool.same_loss)
        assert read.find(verdict).candidate_id == id
        assert read.find(replace(verdict, hash="g1:other")) is None


def test_what_the_fingerprints_propose_is_new_where_fresh_probes_tell_the_two_apart(pool):
    seed, near = pool.vet_graph(known.graph("ipo")), pool.vet_graph(written(NEAR))
    compared = []

    def different(one, other):
        compared.append((one, other))
        return Sameness(False, None)

    duplicates = DuplicateIndex(different, {1: seed.graph}.__getitem__)
    duplicates.add(1, seed)
    assert duplicates.find(near) is None
    assert compared == [(seed.graph, near.graph)]
