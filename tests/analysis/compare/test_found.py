"""What each strategy found: one function counts once, whatever its code and its run."""

import pytest
from make_archive import blend, exponential, hinge, logistic, lrml
from recorded_runs import FULL, Found, config, read, record

from analysis.compare.curves import Shrinkage
from analysis.compare.found import _Index, discoveries
from analysis.compare.strategies import strategies_of
from analysis.lineage.moves import MoveOutcome
from evo.display.comparison import grid
from sandbox import vet

TRUSTING = Shrinkage(typical=0.0, between=1.0, noise=0.0)


def found(tmp_path, *losses_of_runs):
    """Discoveries of `population` (first run) against `chat` (the others)."""
    modes = ["population"] + ["chat"] * (len(losses_of_runs) - 1)
    runs = [
        read(record(tmp_path / str(n), losses, config(n, search__mode=mode)))
        for n, (mode, losses) in enumerate(zip(modes, losses_of_runs, strict=True))
    ]
    return discoveries(strategies_of(runs), FULL, TRUSTING, grid())


def test_a_function_that_both_found_is_of_neither_alone(tmp_path):
    one = [Found("mine", (0.1,), graph=logistic(2.0)), Found("own", (0.3,), graph=exponential())]
    other = [Found("theirs", (0.2,), graph=logistic(2.0))]
    result = found(tmp_path, one, other)
    assert [(f.functions, f.alone, f.better, f.better_alone) for f in result.found] == [(2, 1, 2, 1), (1, 0, 1, 0)]
    assert [function.name for function in result.best] == ["own", "mine"]
    assert [function.name for function in result.of_one] == ["own"]


def test_a_function_measured_in_several_runs_has_one_estimate_from_all(tmp_path):
    shared = [Found(gains=(gain,), graph=lrml(0.3)) for gain in (0.1, 0.2, 0.3)]
    result = found(tmp_path, *([loss] for loss in shared))
    assert [(f.advantage, f.seeds) for f in result.best] == [(pytest.approx(0.2), 3)]
    assert [len(f.sources) for f in result.best] == [3]


def test_a_loss_that_a_run_started_from_was_found_by_nobody(tmp_path):
    result = found(tmp_path, [Found(graph=hinge())], [Found(graph=exponential())])
    assert [f.functions for f in result.found] == [0, 1], "hinge is the seed loss of these runs"


def test_the_same_gradients_in_other_code_are_one_function():
    """Two real losses with different canonical hashes and equal gradients, vetted by the sandbox."""
    names = "policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps"
    rho = "(policy_chosen_logps - policy_rejected_logps - reference_chosen_logps + reference_rejected_logps)"
    codes = [f"-F.logsigmoid({x} * {rho}){shift}" for x, shift in (("beta", ""), ("beta", " + 1.0"), ("2 * beta", ""))]
    verdicts = [vet(f"def loss({names}, beta):\n    return {code}\n", contract="preference") for code in codes]
    assert all(verdict.accepted for verdict in verdicts)
    assert verdicts[0].hash != verdicts[1].hash
    index = _Index()
    assert [index.place(v.hash, v.fingerprint) for v in verdicts] == [0, 0, 1]
    assert index.place(None, None) == 2, "an unknown function is one of its own"


def test_outcomes_are_counted_over_all_runs_of_a_strategy(tmp_path):
    losses = [
        Found(graph=logistic(2.0)), Found(refused=True), Found(graph=logistic(2.0), duplicate_of=2),
        Found(gains=(None,), graph=exponential()),
    ]  # fmt: skip
    result = found(tmp_path, losses, [Found()], [Found(refused=True)])
    assert result.found[0].outcomes == {
        MoveOutcome.SCORED: 1, MoveOutcome.REFUSED: 1, MoveOutcome.DUPLICATE: 1, MoveOutcome.TRAINING_FAILED: 1,
    }  # fmt: skip
    assert result.found[0].share(MoveOutcome.REFUSED) == 0.25
    assert result.found[1].outcomes == {MoveOutcome.SCORED: 1, MoveOutcome.REFUSED: 1}
    assert [operator.proposals for operator in result.found[1].operators] == [2]


def test_cells_that_one_strategy_alone_reached(tmp_path):
    result = found(
        tmp_path,
        [Found(graph=blend(0.3), convex=True), Found(graph=blend(0.4), convex=False)],
        [Found(graph=blend(0.5), convex=True)],
    )
    assert result.axes[0] == "convex"
    assert [(f.cells, [cell[0] for cell in f.cells_alone]) for f in result.found] == [(2, ["False"]), (1, [])]
