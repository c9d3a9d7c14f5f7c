"""A real archive of a made-up campaign: about 40 candidates with all outcomes, written through archive.store.

`PYTHONPATH=tests python tests/analysis/make_archive.py DIR [CANDIDATES]` makes one to look at.
"""

import math
import random
import sys
import zlib
from pathlib import Path

from hostile_texts import HOSTILE_NAMES

from archive.records import RunRow
from archive.store import Archive
from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.nodes import make_node
from sandbox.identity.relation import Kind, Part, Relation

QUICK, FULL, HELD_OUT = "short", "full", "held_out"
"""The rungs of the embedded task."""


class _Builder:
    """Margin losses: rho from the four inputs, then a few operations."""

    def __init__(self):
        names = (
            "policy_chosen_logps",
            "policy_rejected_logps",
            "reference_chosen_logps",
            "reference_rejected_logps",
            "beta",
        )
        self.nodes = [make_node("input", (), {"name": name}) for name in names]
        self.beta = 4
        policy = self.add("sub", 0, 1)
        self.rho = self.add("sub", policy, self.add("sub", 2, 3))
        self.x = self.add("mul", self.rho, self.beta)

    def add(self, op, *args, **attrs):
        self.nodes.append(make_node(op, args, attrs))
        return len(self.nodes) - 1

    def const(self, value):
        return self.add("const", value=value)

    def done(self, output):
        return LossGraph.from_nodes("preference", self.nodes, output)


def logistic(scale=1.0):
    b = _Builder()
    return b.done(b.add("softplus", b.add("mul", b.x, b.const(-scale))))


def hinge(margin=1.0):
    b = _Builder()
    return b.done(b.add("relu", b.add("sub", b.const(margin), b.x)))


def steep(factor):
    """A straight line, which overflows float32 or float64 if `factor` is large."""
    b = _Builder()
    return b.done(b.add("mul", b.x, b.const(factor)))


def ipo():
    b = _Builder()
    half = b.add("div", b.const(0.5), b.beta)
    return b.done(b.add("square", b.add("sub", b.rho, half)))


def kto_like():
    b = _Builder()
    return b.done(b.add("sub", b.const(1.0), b.add("sigmoid", b.x)))


def exponential():
    b = _Builder()
    return b.done(b.add("exp", b.add("neg", b.x)))


def blend(weight, scale=1.0):
    b = _Builder()
    soft = b.add("softplus", b.add("mul", b.x, b.const(-scale)))
    hard = b.add("exp", b.add("neg", b.x))
    return b.done(b.add("add", b.add("mul", soft, b.const(weight)), b.add("mul", hard, b.const(1 - weight))))


def lrml(tau=0.05):
    b = _Builder()
    gate = b.add("sigmoid", b.add("div", b.x, b.const(tau)))
    soft = b.add("softplus", b.add("neg", b.x))
    hard = b.add("exp", b.add("neg", b.x))
    rest = b.add("sub", b.const(1.0), gate)
    return b.done(b.add("add", b.add("mul", rest, soft), b.add("mul", gate, hard)))


SEEDS = {"dpo": logistic, "slic": hinge, "ipo": ipo, "kto_pair": kto_like}
QUALITY = {"dpo": 0.70, "slic": 0.68, "ipo": 0.58, "kto_pair": 0.66}


def verdict(graph=None, findings=(), status=None, descriptors=None):
    """A verdict in the form of sandbox.Verdict.to_json, without vetting."""
    refused = any(f["severity"] == "refuse" for f in findings)
    code = zlib.crc32(graph.to_json().encode()) if graph else 0
    values = [math.tanh(code % 997 / 500 - 1 + i / 9) for i in range(12)]
    return {
        "status": status or ("refused" if refused else "accepted"),
        "accepted": not refused,
        "contract": "preference",
        "entry": "loss",
        "findings": list(findings),
        "hash": f"{code:016x}" if graph else None,
        "fingerprint": {"key": f"k{code}", "scale_key": f"s{code}", "beta_key": f"b{code}", "vector": values}
        if graph
        else None,
        "descriptors": dict(descriptors or {}),
        "guarantees": {"no_network": "seccomp"},
        "milliseconds": 7.5,
        "graph": graph.to_json() if graph else None,
    }


def finding(rule, message, severity="refuse", **more):
    return {"rule": rule, "severity": severity, "message": message, "remedy": "", "line": None, "column": None,
            "excerpt": "", "counterexample": {}} | more  # fmt: skip


REFUSALS = [
    ("SBX304", "gradient is inf at rho = 400, beta = 0.05"),
    ("SBX103", "the name `open` is not available to a loss"),
    ("SBX223", "the loss is a float tensor (); expected a float tensor (B,): one loss per item; was it averaged?"),
    ("SBX304", "gradient is nan at rho = 0, beta = 0.1"),
]


def make_archive(
    directory: Path, candidates: int = 40, seed: int = 0, *, final: bool = True, lift: float = 0.0
) -> Path:
    """Writes `directory`/archive.db and returns its path. `lift` raises every proposal's true fitness."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "archive.db"
    config = {
        "name": "synthetic",
        "seed": seed,
        "task": "sentiment",
        "proposer": "builtin",
        "budget": {"proposals": candidates},
    }
    run = RunRow(
        "synthetic",
        seed,
        "sentiment",
        "preference",
        {"seed": seed, "task": "sentiment"},
        config,
        "0.1.0",
        baseline="dpo",
    )
    with Archive.create(path, run) as archive:
        _Campaign(archive, random.Random(seed), lift).play(candidates, final)
    return path


class _Campaign:
    def __init__(self, archive, rng, lift):
        self.archive, self.rng, self.lift = archive, rng, lift
        self.quality, self.graphs, self.accepted = {}, {}, []
        self.families = [
            lambda: logistic(round(self.rng.uniform(0.4, 2.5), 2)),
            lambda: hinge(round(self.rng.uniform(0.4, 2.5), 2)),
            lambda: blend(round(self.rng.uniform(0.1, 0.9), 2), round(self.rng.uniform(0.5, 2), 2)),
            lambda: lrml(round(self.rng.uniform(0.05, 1.0), 2)),
            exponential,
        ]

    def play(self, count, final):
        words = dict.fromkeys((QUICK, FULL, HELD_OUT), "reward - 0.02 * KL")
        shown = {"reward": "reward", "kl_per_sequence": "KL (nats)"}
        self.archive.event("session_started", {"config": {}, "fitness": {"metric": words, "shown": shown}})
        for name, make in SEEDS.items():
            graph = make()
            id = self.archive.add_candidate(
                "seed", name, f"the published loss {name}", f"def {name}(): ...", "preference"
            )
            self.archive.record_verdict(id, verdict(graph, descriptors=self.describe()))
            self.take(id, graph, QUALITY[name])
            for rung in (QUICK, FULL):
                self.train(id, rung, [0])
        for step in range(1, count - len(SEEDS) + 1):
            self.propose(step, count - len(SEEDS))
        leaders = sorted(self.accepted, key=self.quality.get, reverse=True)
        for id in leaders[: max(8, count // 5)]:
            self.train(id, FULL, [0])
        for id in dict.fromkeys([1, 2, 3, 4, *leaders[:6]]):
            self.train(id, FULL, [0, 1, 2])
        if final:
            fresh = [101, 102, 103, 104]
            proposals = [id for id in leaders if id > 4][:3]
            relations = {str(id): Relation(Kind.NEW).to_json() for id in proposals[1:]}
            relations |= {
                str(id): Relation(Kind.REBETA, (Part("dpo", 1.0, 1.7),), 0.0).to_json() for id in proposals[:1]
            }
            payload = {"rung": HELD_OUT, "seeds": fresh, "beta": 0.1, "learning_rate": None, "relations": relations}
            self.archive.event("final", payload)
            for id in [1, 2, 3, 4, *proposals]:
                self.train(id, HELD_OUT, fresh)
            self.archive.event("finished", {"reason": "budget of proposals reached"})

    def describe(self):
        return {
            "convex": self.rng.random() < 0.7,
            "slope_at_zero": round(self.rng.uniform(-2, 0), 4),
            "left_tail": self.rng.choice(["linear", "quadratic", "exponential", "flat"]),
            "saturation_point": self.rng.choice([40.0, 100.0, "inf", None]),
        }

    def take(self, id, graph, quality):
        self.quality[id], self.graphs[id] = quality, graph
        self.accepted.append(id)

    def train(self, id, rung, seeds):
        level = {QUICK: -0.25, FULL: 0.0, HELD_OUT: -0.03}[rung]
        for seed in seeds:
            evaluation = self.archive.queue_evaluation(id, "sentiment", rung, seed)
            shared = random.Random(f"{rung} {seed}").gauss(0, 0.05)
            own = random.Random(f"{rung} {seed} {id}").gauss(0, 0.02)
            try:
                self.archive.start_evaluation(evaluation)
            except Exception:  # it was trained already, as queue_evaluation allows
                continue
            if self.quality[id] < 0.3:
                self.archive.fail_evaluation(evaluation, "diverged", "the loss became nan at step 17", seconds=2.0)
                continue
            fitness = self.quality[id] + level + shared + own
            metrics = {"reward": fitness + 0.1, "kl_per_sequence": 5 + 10 * own, "preference_accuracy": 0.8}
            self.archive.score_evaluation(evaluation, fitness, metrics, seconds=7.3, tokens=41_000)

    def propose(self, step, steps):
        phase = step / steps
        operator = self.rng.choices(["explore", "refine", "combine", "repair"], _weights(phase))[0]
        ranked = sorted(self.accepted, key=self.quality.get, reverse=True)
        parents = self.rng.sample(ranked[: max(4, len(ranked) // 2)], {"combine": 2}.get(operator, 1))
        role = {"explore": "explored_from", "refine": "refined", "combine": "combined", "repair": "repaired"}[operator]
        template = f"{zlib.crc32(operator.encode()):08x}"
        references = {"parents": [{"id": id, "role": role} for id in parents], "island": step % 2}
        proposal = self.archive.request_proposal(
            step,
            1,
            operator,
            "openai",
            self.rng.choice(["model-a", "model-b"]),
            0.7,
            template,
            references,
            self.archive.last_event(),
        )
        fate = self.rng.random()
        if fate < 0.04:
            self.archive.lose_proposal(proposal)
            return
        self.archive.receive_proposal(proposal, "a reply", 900, 350, 0.0011, 2.5)
        if fate < 0.12:
            self.archive.fail_proposal(proposal, "the reply holds no code")
            return
        plain = f"{operator}d_{self.rng.choice(['hinge', 'blend', 'tail', 'gate'])}_{step}"
        name = HOSTILE_NAMES[step % len(HOSTILE_NAMES)] if step % 3 == 0 else plain
        thought = f"Idea {step}: sharpen the slope near zero. {HOSTILE_NAMES[(step * 5) % len(HOSTILE_NAMES)]}"
        id = self.archive.add_candidate(
            "proposal",
            name,
            thought,
            f"# {name}\ndef loss(): ...",
            "preference",
            proposal,
            [(p, role) for p in parents],
        )
        if fate < 0.32:
            rule, message = self.rng.choice(REFUSALS)
            self.archive.record_verdict(id, verdict(findings=[finding(rule, message, line=3, excerpt="x = open('f')")]))
            return
        graph = self.rng.choice(self.families)()
        twin = next((other for other, known in self.graphs.items() if known.to_json() == graph.to_json()), None)
        self.archive.record_verdict(
            id, verdict(graph, descriptors=self.describe()), twin, "same function" if twin else None
        )
        if twin:
            return
        base = max(self.quality[p] for p in parents)
        spread = {"explore": 0.08, "refine": 0.015, "combine": 0.025, "repair": 0.06}[operator]
        quality = 0.2 if fate > 0.95 else base - 0.025 + self.rng.gauss(0, spread) + self.lift
        self.take(id, graph, min(quality, 0.8 + self.lift))
        self.train(id, QUICK, [0])


def _weights(phase):
    if phase < 0.35:
        return [0.75, 0.1, 0.05, 0.1]
    return [0.1, 0.7, 0.1, 0.1] if phase < 0.75 else [0.05, 0.2, 0.65, 0.1]


if __name__ == "__main__":
    print(make_archive(Path(sys.argv[1]), *map(int, sys.argv[2:3])))
