"""The share of training pairs that end between LRML's optima, for `evopo paper` (Lu et al. 2024, appendix D.6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from analysis import stats
from analysis.benchmarks.published import OPTIMA_BETA
from analysis.paper.tables import Number
from analysis.plots.landscape.landscape import landscape
from analysis.wording import count
from evo.baselines.compared_losses import published
from evo.landscape.pairs import share_within, trained_margins, trainings_of

LOSS = "lrml"
SEEDS = 3


def between_optima(place: Path, say: Callable[[str], None]) -> Number:
    """Percent of the training pairs between the optima at the end of training, on the task of a run or configuration, over three
    seeds at the paper's beta. Words instead if every training failed. Raises as `trainings_of` and `trained_margins`."""
    loss = published(LOSS)
    wanted = trainings_of(place, (), None, SEEDS)
    rises = landscape(loss.name, loss.graph, OPTIMA_BETA).features.rises
    margins = trained_margins(wanted, (loss,), (OPTIMA_BETA,), say)[loss.name, OPTIMA_BETA]
    closed = [rise for rise in rises if rise.between_optima]
    shares = [100 * share_within(found, closed) for found in margins.by_seed]
    if not shares:
        return Number(None, words=f"failed: {margins.failed}")
    return Number(stats.mean(shares), stats.standard_error(shares), count(len(shares), "seed"))
