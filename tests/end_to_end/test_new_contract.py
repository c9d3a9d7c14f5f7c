"""A contract added as docs/contracts.md says: its losses are vetted, searched by the built-in proposer, and reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns import QUICK

from archive.query import Reader
from recipes import copied, examples, insert, put, python

TASK = '''
"""Scores of eight items, linear in four features of each, learn which of them are good."""

from fitness.task import Rung, SeedResult, TaskInfo, TaskOptions


class Options(TaskOptions):
    pass


RUNGS = {name: Rung(name, steps, 0.1) for name, steps in (("short", 4), ("full", 8))}


def info(options):
    return TaskInfo("listed", "ranking", "mean grade of the item with the highest score", RUNGS)


def make(options):
    return Task()


class Task:
    name, contract, metric, rungs = "listed", "ranking", "mean grade of the item with the highest score", RUNGS

    def prepare(self):
        import torch  # noqa: F401

    def score_seed(self, graph, rung, seed, *, beta=None, learning_rate=None):
        import torch

        from sandbox.execute.interpreter import compile_loss

        draw = torch.Generator().manual_seed(seed)
        features = torch.randn(64, 8, 4, generator=draw)
        noise = 0.5 * torch.randn(64, 8, generator=draw)
        grades = (features @ torch.tensor([1.0, -1.0, 0.5, 0.0]) + noise > 0.5).float()
        weights, loss = torch.zeros(4, requires_grad=True), compile_loss(graph)
        optimiser = torch.optim.Adam([weights], lr=0.1)
        for _ in range(RUNGS[rung].steps):
            optimiser.zero_grad()
            loss(features @ weights, grades).mean().backward()
            optimiser.step()
        best = (features @ weights).argmax(dim=1, keepdim=True)
        return SeedResult(float(grades.gather(1, best).mean()), seed=seed, steps=RUNGS[rung].steps)
'''
RECORD = "sandbox/contracts/contract.py"
LISTED = ("--set", "task=listed", "--set", "budget.proposals=3", *QUICK[2:4])
LADDER = QUICK[QUICK.index("ladder.finalists=2") - 1 : QUICK.index("ladder.baseline_learning_rates=[0.5]") - 1]


def added(folder: Path, *, without: str = "") -> Path:
    """A copy of the packages with the contract of docs/contracts.md, and an installed task that scores its losses."""
    copied(folder)
    for path, code in examples("docs/contracts.md", "## Adding one").items():
        if path == RECORD:
            lines = [line for line in code.splitlines(keepends=True) if not without or without not in line]
            insert(folder, path, "".join(lines) + "\n", "BUILT_IN")
            insert(folder, path, ", RANKING", ")\n\n_REGISTERED")
        else:
            put(folder, path, code)
    (folder / "listed.py").write_text(TASK, "utf-8")
    put(folder, "listed-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: listed\nVersion: 1.0\n")
    (folder / "listed-1.0.dist-info/entry_points.txt").write_text("[evopo.tasks]\nlisted = listed\n", "utf-8")
    return folder


def test_the_contract_of_the_page_is_vetted_searched_and_reported(tmp_path: Path) -> None:
    added(tmp_path)
    written = python(tmp_path, "scripts/make_known_graphs.py")
    assert "listnet: " in written.stdout, written.stderr
    wrong = "def loss(scores, grades):\n    return (scores * grades).detach().sum(dim=1)\n"
    (tmp_path / "wrong.py").write_text(wrong, "utf-8")
    checked = python(
        tmp_path, "-m", "sandbox", "check", "--contract", "ranking", "wrong.py", "sandbox/known/ranking/listnet.py"
    )
    assert "SBX306" in checked.stdout and "no gradient reaches scores" in checked.stdout, (
        checked.stdout + checked.stderr
    )
    assert checked.stdout.count("SBX3") == 1, "the known loss is accepted"
    ran = python(tmp_path, "-m", "evo", "run", "--dir", "run", *LISTED, *LADDER)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    with Reader.open(tmp_path / "run" / "archive.db") as reader:
        assert reader.run().contract == "ranking" and reader.run().baseline == "listnet"
        accepted = {v.candidate_id for v in reader.verdicts() if v.status == "accepted"}
        scored = {e.candidate_id for e in reader.evaluations(state="scored")}
        proposed = {c.id for c in reader.candidates() if c.proposal_id is not None}
        assert proposed & accepted & scored, "a proposal of the built-in proposer was trained"
    report = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "ranking losses" in report and "listnet" in report
    shown = python(tmp_path, "-m", "evo", "show", "run", "1", "--as", "trl")
    assert shown.returncode != 0 and "TRL's DPOTrainer takes preference losses" in shown.stderr
    replayed = python(tmp_path, "-m", "evo", "replay", "run")
    assert "All 3 proposals replay" in replayed.stdout, replayed.stdout + replayed.stderr


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("grammar=", "proposer: the built-in proposer needs a grammar, and the contract 'ranking' has none"),
        ("inputs=", "missing 1 required keyword-only argument: 'inputs'"),
    ],
)
def test_a_record_without_a_part_is_an_error_that_names_the_part(tmp_path: Path, part: str, told: str) -> None:
    done = python(added(tmp_path, without=part), "-m", "evo", "run", "--dir", "run", *LISTED)
    assert done.returncode != 0 and told in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()
