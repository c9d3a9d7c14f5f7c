"""The lineage graph has the content of the archive."""

import networkx as nx
import pytest
from lineage_graph import lineage
from make_archive import logistic, verdict

from analysis import stats
from analysis.lineage import graph as lineage_rows
from analysis.snapshot import Snapshot
from analysis.wording import full_name
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive
from sandbox import known
from sandbox.identity.fingerprints import fingerprint
from sandbox.verdicts.verdict import VerdictStatus


def test_its_edges_are_the_archives_parents_without_a_cycle(reader, snapshot):
    graph = lineage(reader)
    assert nx.is_directed_acyclic_graph(graph)
    assert set(graph) == {row.id for row in reader.candidates()}
    assert set(graph.edges) == {(edge.parent, edge.child) for edge in reader.lineage()}
    for edge in reader.lineage():
        assert graph.edges[edge.parent, edge.child]["role"] == edge.role.value


def test_seed_losses_have_generation_zero_and_children_one_more_than_their_highest_parent(reader):
    graph = lineage(reader)
    for node, data in graph.nodes(data=True):
        above = [graph.nodes[parent]["generation"] for parent in graph.predecessors(node)]
        assert data["generation"] == (1 + max(above) if above else 0)
    assert graph.nodes[1]["generation"] == 0


def test_the_fitness_is_that_of_the_highest_rung_reached(reader):
    graph = lineage(reader)
    assert graph.nodes[1]["rung"] == "held_out"
    standings = {(s.candidate_id, s.rung): s for s in reader.standings()}
    for node, data in graph.nodes(data=True):
        if "fitness" in data:
            standing = standings[node, data["rung"]]
            assert (data["fitness"], data["seeds"]) == (standing.mean, standing.n)
            assert data.get("standard_error") == pytest.approx(standing.standard_error)
            assert data["fitness.short"] == standings[node, "short"].mean


def test_every_outcome_has_its_status(reader, snapshot):
    graph = lineage(reader)
    assert {"scored", "refused", "duplicate", "failed"} <= {data["status"] for _, data in graph.nodes(data=True)}
    for node, data in graph.nodes(data=True):
        refused = snapshot.verdicts[node].status == VerdictStatus.REFUSED
        assert (data["status"] == "refused") == refused
        assert ("duplicate_of" in data) == (data["status"] == "duplicate")


def test_infinite_descriptors_are_absent_and_proposals_carry_their_operator_step_and_island(reader):
    graph = lineage(reader)
    values = [data.get("descriptor.saturation_point") for _, data in graph.nodes(data=True)]
    assert "inf" not in values
    assert {40.0, 100.0, None} >= set(values)
    last = graph.nodes[max(graph)]
    assert last["operator"] in ("explore", "refine", "combine", "repair")
    assert last["island"] == last["step"] % 2


def test_a_finalist_says_which_published_loss_it_is(reader):
    graph = lineage(reader)
    told = {id: data["known_as"] for id, data in graph.nodes(data=True) if "known_as" in data}
    assert list(told.values()) == ["the published dpo at 1.7 × beta"]


def test_a_node_says_what_the_snapshot_says(reader, snapshot):
    rows = {row["id"]: row for row in lineage_rows.nodes(reader)}
    assert list(rows) == sorted(snapshot.candidates)
    for id, row in rows.items():
        candidate, verdict = snapshot.candidates[id], snapshot.verdicts[id]
        proposal, arm = snapshot.proposals.get(candidate.proposal_id), lineage_rows.standing(snapshot, id)
        expected = {
            "id": id,
            "name": candidate.name,
            "origin": candidate.origin.value,
            "status": snapshot.status(id).value,
            "operator": proposal and proposal.operator,
            "model": proposal and proposal.model,
            "step": snapshot.step(id),
            "island": proposal and proposal.references.get("island"),
            "hash": verdict.hash,
            "duplicate_of": verdict.duplicate_of,
            "known_as": snapshot.known_as(id) or None,
            "caution": snapshot.caution(id) or None,
            "written_by": "person" if snapshot.by_person(id) else None,
            "pinned": id in snapshot.steering.pinned or None,
            "banned": snapshot.banned(id) or None,
            "fitness": arm and stats.mean(list(snapshot.scores[arm].values())),
            "seeds": arm and len(snapshot.scores[arm]),
            "rung": arm and arm.rung,
            "failed_seeds": snapshot.failed_trainings(id) if arm or snapshot.failed_trainings(id) else None,
        }
        assert {name: row.get(name) for name in expected} == expected


def test_a_parent_named_twice_is_one_edge_with_its_first_role(tmp_path):
    with Archive.create(tmp_path / "archive.db", RunRow("x", 0, "task", "preference")) as archive:
        first, second = (archive.add_candidate("seed", name, "", "", "preference") for name in ("a", "b"))
        twice = [(second, "combined"), (first, "refined"), (second, "refined")]
        child = archive.add_candidate("seed", "c", "", "", "preference", parents=twice)
    with Reader.open(tmp_path / "archive.db") as reader:
        told = [(row["source"], row["target"], row["role"], row["position"]) for row in lineage_rows.edges(reader)]
        assert told == [(second, child, "combined", 0), (first, child, "refined", 1)]
        assert [row["source"] for row in lineage_rows.edges(reader, by_source=True)] == [first, second]


@pytest.mark.parametrize(("kind", "words"), [("scale_key", "dpo times a factor"), ("beta_key", "dpo at another beta")])
def test_a_proposal_with_the_key_of_a_seed_loss_is_called_so_before_any_final(kind, words, tmp_path):
    own = {"scale_key": "a", "beta_key": "b"}
    with Archive.create(tmp_path / "archive.db", RunRow("x", 0, "task", "preference", baseline="dpo")) as archive:
        seed = archive.add_candidate("seed", "dpo", "", "", "preference")
        proposal = archive.request_proposal(1, 1, "explore", "b", None, None, "t", {}, 0)
        archive.receive_proposal(proposal, "r")
        child = archive.add_candidate("proposal", "mine", "", "", "preference", proposal)
        for id, keys in ((seed, own), (child, {"scale_key": "c", "beta_key": "d", kind: own[kind]})):
            archive.record_verdict(id, verdict(logistic()) | {"fingerprint": keys | {"key": "k", "vector": []}})
    with Reader.open(tmp_path / "archive.db") as reader:
        snapshot = Snapshot.of(reader)
        assert [row.get("known_as") for row in lineage_rows.nodes(reader)] == [None, words]
    assert (snapshot.known_as(child), snapshot.known_as(seed)) == (words, "")
    assert full_name(snapshot, child) == f"mine ({words})"


def test_a_multiple_of_a_seed_loss_is_told_from_another_loss_by_its_gradients(tmp_path):
    own = fingerprint(known.graph("dpo")).to_json()
    tripled = own | {"scale_key": "f1:other", "vector": [3.0 * g for g in own["vector"]]}
    other = fingerprint(known.graph("slic")).to_json()
    with Archive.create(tmp_path / "archive.db", RunRow("x", 0, "task", "preference", baseline="dpo")) as archive:
        seed = archive.add_candidate("seed", "dpo", "", "", "preference")
        archive.record_verdict(seed, verdict(logistic()) | {"fingerprint": own})
        for number, of_child in enumerate((tripled, other), 1):
            proposal = archive.request_proposal(number, 1, "explore", "b", None, None, "t", {}, 0)
            archive.receive_proposal(proposal, "r")
            child = archive.add_candidate("proposal", "mine", "", "", "preference", proposal)
            archive.record_verdict(child, verdict(logistic()) | {"fingerprint": of_child})
    with Reader.open(tmp_path / "archive.db") as reader:
        told = [row.get("known_as") for row in lineage_rows.nodes(reader)]
        assert told == [None, "dpo times a factor", None]
        assert [Snapshot.of(reader).known_as(id) for id in (2, 3)] == ["dpo times a factor", ""]
