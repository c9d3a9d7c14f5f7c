"""The case study and the sweep over beta on the page: from results of a transfer, and from recorded trainings."""

import pytest

from analysis.benchmarks.results import Rows
from analysis.claims.transfer import Plan, Result, Setting, Transfer
from analysis.paper.case_study import WINNER, Transferred, case_study_tables
from analysis.paper.facts import imdb_table
from analysis.paper.sweeps import frontier_of, sweeps_of
from archive.judgements import AnswerRow, PolicyRow


def setting(name: str, fitness: dict[str, dict[int, float]], failed: dict[str, frozenset[int]]) -> Setting:
    results = tuple(Result(loss, values, {}, failed.get(loss, frozenset())) for loss, values in fitness.items())
    return Setting(name, (), "accuracy", "full", (1, 2), results)


def test_each_setting_is_a_column_with_ranks_and_the_verdict_on_the_winner():
    first = setting("mlp", {"focal": {1: 0.8, 2: 0.9}, "mse": {1: 0.6, 2: 0.7}}, {})
    second = setting("cnn", {"focal": {1: 0.5}, "mse": {1: 0.7, 2: 0.7}}, {"focal": frozenset({2})})
    transfer = Transfer(Plan("classification", ("focal", "mse"), {"mlp": (), "cnn": ()}), (first, second))
    (table,) = case_study_tables([Transferred("runs/t", transfer)])
    rows = {name: [cell.ours.text for cell in cells] for name, cells in table.rows}
    assert rows["focal"] == ["0.850 ± 0.050 (rank 1, 2 seeds)", "0.5 (rank 2, failed on 1 seed, 1 seed)"]
    assert rows["mse"][1] == "0.7 ± 0 (rank 1, 2 seeds)"
    assert rows[WINNER] == ["focal, chosen here", "fails"]
    assert [heading.title for heading in table.headings] == ["mlp", "cnn"]


def test_without_a_transfer_the_table_says_so():
    (table,) = case_study_tables([])
    assert table.rows[0][1][0].why == "no given directory is of evopo transfer"


def trained(id: int, beta: float, reward: float | None) -> tuple[PolicyRow, AnswerRow]:
    recipe = {"benchmark": "imdb", "beta": beta} | ({} if reward is not None else {"failed": "diverged"})
    metrics = {} if reward is None else {"reward": reward, "kl_per_token": 0.1 * id, "reference_reward": 0.0}
    policy = PolicyRow(id, f"lrml, beta {beta}", "trained", "lrml", 1, str(id), recipe)
    return policy, AnswerRow(id, id, "imdb", "", "", (), 1, 0, metrics)


def test_a_sweep_is_lined_up_with_the_published_failures():
    policies, answers = zip(trained(1, 0.01, 0.4), trained(2, 0.05, 0.6), trained(3, 2.5, None), strict=True)
    rows = Rows(policies, answers, ())
    cells = {name: cell for name, (cell,) in imdb_table(sweeps_of(rows, "runs/i")).rows}
    assert cells["beta 0.01"].published is not None and cells["beta 0.01"].published.value == 0.152
    assert cells["beta 0.01"].ours is not None and cells["beta 0.01"].ours.value == pytest.approx(0.4)
    assert cells["beta 2.5"].ours is not None and cells["beta 2.5"].ours.text == "failed 1 of 1: diverged"
    assert cells["beta 5"].ours is None and cells["beta 5"].why == "this beta was not trained"
    (area,) = frontier_of(rows, "runs/i")
    # Steps of the frontier up to 0.5 nats: 0 to KL 0.1, 0.4 to 0.2, 0.6 to 0.5.
    assert area.values["lrml"].value == pytest.approx((0.1 * 0.4 + 0.3 * 0.6) / 0.5)
    assert frontier_of(Rows((), (), ()), "runs/i") == []
