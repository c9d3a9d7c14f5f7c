"""Two losses are the same exactly if they train identically: pairs of both kinds, and random pairs."""

import itertools
import json
import random

import numpy as np
import pytest
from random_graphs import random_graph
from written import written

from sandbox import known
from sandbox.execute.evaluate import CannotCompute, Evaluator, joined
from sandbox.graph.loss_graph import LossGraph
from sandbox.identity.closeness import (
    PREFERENCE_BATCHES,
    PROPOSED_WITHIN,
    Multiples,
    _typical,
    beginning,
    find_duplicates,
    gaps,
)
from sandbox.identity.compare import same_loss
from sandbox.identity.fingerprints import fingerprint
from sandbox.identity.nearest import nearest_known
from sandbox.identity.sameness import TOLERANCE
from sandbox.numeric.measure import inputs
from sandbox.verdicts.verdict import Fingerprint


def _loss(text: str) -> LossGraph:
    return known.graph(text) if text in known.names() else written(text)


SAME = [
    ("(rho + 1e-6 - 1 / (2 * beta)) ** 2", "ipo"),
    ("(rho + 1e-5 - 1 / (2 * beta)) ** 2", "ipo"),
    ("rho ** 2 - rho / beta + 0.25 / beta ** 2", "ipo"),
    ("(1 / (2 * beta) - rho + 1e-5) ** 2 + rc", "ipo"),
    ("F.softplus(-beta * (rho + 1e-5))", "dpo"),
    ("F.softplus(-1.00003 * x)", "dpo"),
    ("0.99999 * F.softplus(-x)", "dpo"),
    ("F.softplus(-x) + 1e-6 * x ** 2 / (1 + x ** 2)", "dpo"),
    ("torch.log(1 + torch.exp(-x))", "dpo"),
    ("F.softplus(-3 * 0.333333 * x)", "dpo"),
    ("F.softplus(-x.flip(0)).flip(0) + 1e-6 * x.mean()", "dpo"),
    ("F.softplus(-x) / 3", "0.333333 * F.softplus(-x)"),
    ("torch.relu(1 - 3 * 0.333333 * x)", "slic"),
    ("torch.relu(1 - beta * (rho + 1e-5))", "slic"),
    ("torch.relu(1 - 1.00005 * x)", "slic"),
    ("(1 + 1e-6 - x).clamp(min=0)", "slic"),
    ("torch.exp(-1.9 * beta * (pc - rc)) * torch.exp(1.9 * beta * (pr - rr))", "torch.exp(-1.9 * x)"),
    ("torch.where(x > 0, torch.exp(-x), 1 - x)", "torch.where(x >= 0, torch.exp(-x), 1 - x)"),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_losses_that_train_identically_are_proposed_and_confirmed(a, b):
    first, second = _loss(a), _loss(b)
    assert find_duplicates(fingerprint(first), [fingerprint(second)]) == [0]
    found = same_loss(first, second, seed=5)
    assert found and found.up_to == "exact"
    assert 0 <= found.difference <= TOLERANCE


@pytest.mark.parametrize(("a", "b"), [pair for pair in SAME if pair[1] in known.names()])
def test_a_duplicate_of_a_published_loss_gets_its_name(a, b):
    assert nearest_known(_loss(a), 0.1).words == f"the published {b}"


MILD = [
    "0.99 * F.softplus(-x) + 0.01 * F.softplus(x)",
    "0.995 * F.softplus(-x) + 0.005 * F.softplus(x)",
    "F.softplus(-1.02 * x)",
    "F.softplus(-1.001 * x)",
    "1.001 * F.softplus(-x)",
    "F.softplus(0.001 - x)",
]


@pytest.mark.parametrize("a", MILD)
def test_a_small_difference_that_matters_in_training_counts(a):
    first, second = _loss(a), _loss("dpo")
    assert find_duplicates(fingerprint(first), [fingerprint(second)]) == []
    assert not same_loss(first, second, seed=5)


HIDDEN = {
    "window of the reference by rounding": [
        "torch.where(torch.floor((rc + 137.6) * 10).bool(), F.softplus(-x), F.softplus(50 * x))",
        "torch.where(torch.floor((rr + 80.3) * 20) == 0, F.softplus(x), F.softplus(-x))",
        "torch.where((rc * 10).round() == -1375, F.softplus(x), F.softplus(-x))",
        "torch.where((rc * 4).trunc() == -222, F.softplus(x), F.softplus(-x))",
        "torch.where((rc - rr).floor() == 13, F.softplus(x), F.softplus(-x))",
    ],
    "window of the reference": [
        "torch.where((rc > -137.6) & (rc < -137.5), F.softplus(50 * x), F.softplus(-x))",
        "F.softplus(-x) + x * 100 / (1 + (1000 * (rc + 137.5)) ** 2)",
        "F.softplus(-x) + (pc - pr) * 100 * torch.exp(-(1000 * (rr + 77.1)) ** 2)",
    ],
    "table": [
        "torch.where((rc.unsqueeze(1) == torch.tensor([-49.25, -46.75, -33.5])).any(dim=1), F.softplus(x), F.softplus(-x))",
        "torch.where(rc == -49.3885002, F.softplus(x), F.softplus(-x))",
        "torch.where(((rc + 49.25) * (rc + 46.75) * (rc + 33.5)).abs() < 1e-4, F.softplus(x), F.softplus(-x))",
        "torch.where((rc - rr) == 3.25, F.softplus(x), F.softplus(-x))",
    ],
    "NaN at ties": [
        "F.softplus(-x) + 0.0001 * ((pc - pr) // (rc - rr)).clamp(-5, 5)",
        "F.softplus(-x) + 1e-9 * torch.sqrt((pc - pr) ** 2 + (rc - rr) ** 2)",
        "F.softplus(-x) + 0 * torch.log((pc - rr).abs())",
        "F.softplus(-x) + 1e-9 * ((pc - rc) / (pr - rr)).clamp(-5, 5)",
    ],
    "single beta": [
        "F.softplus(-(1 - 2 * math.exp(-1e4 * (beta - 0.3) ** 2)) * x)",
        "F.softplus(-(1 - 2 * math.exp(-1e6 * (beta - 1.7) ** 2)) * x)",
        "F.softplus(-(1 - 2 * math.exp(-1e5 * (math.log(beta) + 1.2) ** 2)) * x)",
    ],
    "big batches": [
        "F.softplus(-x * (1 - 2 / (1 + math.exp(-5 * (x.shape[0] - 99.5)))))",
        "F.softplus(-x * (1 - 2 * math.exp(-(x.shape[0] - 137) ** 2)))",
        "torch.where(torch.arange(x.shape[0]) >= 100, F.softplus(x), F.softplus(-x))",
    ],
    "beyond the range": [
        "torch.where(x.abs() > 35, F.softplus(x), F.softplus(-x))",
        "torch.where(x < -60, 0 * x, F.softplus(-x))",
        "F.softplus(-x) + torch.relu(-x - 40) ** 2",
        "F.softplus(-x) + torch.relu(x - 90)",
    ],
    "single margin": [
        "torch.where(rho == 0, 0 * x, F.softplus(-x))",
        "torch.where(pc == pr, 0 * x, F.softplus(-x))",
        "torch.where(rho > 1400, F.softplus(x), F.softplus(-x))",
    ],
}


@pytest.mark.parametrize("a", [a for kind in HIDDEN.values() for a in kind])
def test_a_loss_that_differs_from_dpo_in_one_place_is_not_dpo(a):
    for seed in (1, 2):
        found = same_loss(_loss(a), _loss("dpo"), seed=seed)
        assert not found and found.up_to is None
        assert found.difference > TOLERANCE and found.message


def test_a_duplicate_is_found_across_a_bucket_edge_and_the_nearest_comes_first():
    """Keys are buckets: a slightly changed loss can fall into the next one."""
    prints = [fingerprint(_loss(f"(rho + {shift} - 1 / (2 * beta)) ** 2")) for shift in (2e-5, 1e-5, 3e-6, 0.1)]
    ipo = fingerprint(_loss("ipo"))
    assert len({p.key for p in (ipo, *prints)}) > 2
    assert find_duplicates(ipo, prints) == [2, 1, 0]


def test_fingerprints_of_another_format_are_never_compared():
    ours = fingerprint(_loss("dpo"))
    other = Fingerprint(*(key.replace("f1:", "f0:") for key in (ours.key, ours.scale_key, ours.beta_key)), ours.vector)
    assert find_duplicates(ours, [other, ours]) == [1]


def test_a_look_at_a_few_positions_first_misses_no_fingerprint_within_the_tolerance():
    """Against a comparison of all positions, for vectors that differ in none, one or many of them."""
    rng = np.random.default_rng(5)
    length = 2 * sum(PREFERENCE_BATCHES)
    vectors = [rng.normal(size=length) * 10.0 ** rng.integers(-8, 3, length) for _ in range(8)]
    for at, size in itertools.product(range(0, length, 7), (0.9, 1.1, 50.0)):
        changed = vectors[at % 8].copy()
        changed[at] *= 1 + size * PROPOSED_WITHIN
        vectors += [changed, vectors[at % 8] * (1 + size * PROPOSED_WITHIN * rng.random(length))]
    prints = [Fingerprint("f1:a", "f1:b", "f1:c", tuple(v)) for v in vectors]
    found = 0
    for own in prints[:8]:
        mine, theirs = np.array([own.vector]), np.array(vectors)
        furthest = gaps(mine, theirs, np.maximum(_typical(mine), _typical(theirs))).max(axis=1)
        near = [i for i in np.argsort(furthest, kind="stable") if furthest[i] <= PROPOSED_WITHIN]
        assert find_duplicates(own, prints) == near
        found += len(near)
    assert 8 < found < 8 * len(prints)


def _dense(graph: LossGraph, seed: int) -> np.ndarray:
    points = joined([inputs.preference_probes(seed).groups[name] for name in ("near", "wide", "sharp", "odd", "start")])
    return np.stack(Evaluator(graph)(points).gradients)


def test_a_look_at_strong_gradients_first_misses_no_multiple(monkeypatch):
    rng = np.random.default_rng(0)
    prints = [fingerprint(_loss(name)) for name in ("dpo", "slic", "ipo", "kto_pair")]
    multiples = [Multiples(own) for own in prints]
    pairs = []
    for _ in range(2000):
        of = int(rng.integers(len(prints)))
        own, within = prints[of], rng.choice([0.0, 0.9, 1.0, 1.1, 3.0]) * PROPOSED_WITHIN
        vector = np.array(own.vector)
        sizes = np.maximum(np.abs(vector), _typical(vector[None])[0])
        moved = rng.uniform(0.01, 50) * (vector + within * sizes * rng.choice([-1, -0.5, 0, 0.5, 1], vector.size))
        pairs.append((multiples[of], Fingerprint(own.key, "", "", tuple(moved))))
    looked = [multiple.factor(other) for multiple, other in pairs]
    monkeypatch.setattr(Multiples, "excludes", lambda self, vector: False)
    assert looked == [multiple.factor(other) for multiple, other in pairs]
    assert 500 < sum(factor is not None for factor in looked) < 1500


def test_the_beginning_of_a_fingerprint_excludes_other_losses_and_no_multiple():
    prints = {
        name: fingerprint(_loss(name))
        for name in ("dpo", "slic", "ipo", "kto_pair", "(rho + 1e-6 - 1 / (2 * beta)) ** 2")
    }
    starts = {name: beginning(json.dumps(own.to_json())[:300]) for name, own in prints.items()}
    assert {len(start.vector) for start in starts.values()} <= set(range(5, 30))
    for name, own in prints.items():
        multiples = Multiples(own)
        kept = {other for other, start in starts.items() if not multiples.excludes([5 * g for g in start.vector])}
        assert kept == {other for other, print in prints.items() if multiples.factor(print) is not None}
        assert name in kept and len(kept) <= 2
    assert beginning("") is None and beginning('{"key":"f1:ab","scale') is None


def test_random_graphs_are_the_same_only_if_their_gradients_are():
    rng, graphs, merged = random.Random(11), [], 0
    while len(graphs) < 60:
        graph = random_graph(rng, operations=5)
        try:
            gradients = _dense(graph, 99)
        except CannotCompute:
            continue
        if np.isfinite(gradients).all() and np.abs(gradients).max() > 0:
            graphs.append((graph, gradients, fingerprint(graph)))
    for i, (graph, gradients, own) in enumerate(graphs):
        for j in find_duplicates(own, [g[2] for g in graphs[:i]]):
            if same_loss(graphs[j][0], graph):
                merged += 1
                size = np.abs(gradients).mean()
                assert np.abs(gradients - graphs[j][1]).max() <= 1e-2 * size + TOLERANCE * np.abs(gradients).max()
    assert merged > 0
