"""The case study on the page: fitness and rank of each loss by setting, and what became of the winner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis import stats
from analysis.claims.transfer import Setting, Transfer
from analysis.paper.tables import Cell, Heading, Number, Table
from analysis.wording import count

NOTE = (
    "The paper searched on CIFAR-10 with a ResNet-18, and trained what it found over 100 epochs on other networks, ResNet-34, "
    "SimpleDLA and EfficientNet-B0 among them. Its figures for them are not on this page."
)
WINNER = "the winner"


@dataclass(frozen=True)
class Transferred:
    """The results of a directory of `evopo transfer`."""

    source: str
    transfer: Transfer


def case_study_tables(given: Sequence[Transferred]) -> list[Table]:
    """A table for each transfer; without any, one that says so."""
    if not given:
        why = "no given directory is of evopo transfer"
        rows = (("the losses on other networks", (Cell(why=why),)),)
        heading = Heading("fitness and rank", published=False)
        return [Table("transfer", "Case study: transfer to other networks", (heading,), rows, (NOTE,), "what")]
    return [_table(number, one) for number, one in enumerate(given)]


def _table(number: int, given: Transferred) -> Table:
    transfer = given.transfer
    first = transfer.settings[0]
    names = sorted(first.by_name, key=lambda name: (first.ranks.get(name, len(first.results) + 1), name))
    rows = [(name, tuple(_cell(setting, name) for setting in transfer.settings)) for name in names]
    verdicts = {standing.setting: standing.verdict.value for standing in transfer.standings}
    told = [verdicts.get(setting.name, f"{transfer.winner or 'none'}, chosen here") for setting in transfer.settings]
    rows.append((WINNER, tuple(Cell(ours=Number(None, words=words)) for words in told)))
    return Table(
        key="transfer" if not number else f"transfer-{number + 1}",
        title=f"Case study: transfer of {transfer.plan.task} losses",
        headings=tuple(
            Heading(setting.name, published=False, ours=given.source if setting is first else "")
            for setting in transfer.settings
        ),
        rows=tuple(rows),
        notes=(
            f"Mean {first.metric} at rung {first.rung} over fresh seeds, others in each setting, and rank by it.",
            "The verdict on the winner of the first setting is past the noise, corrected by Holm over all comparisons.",
            NOTE,
        ),
    )


def _cell(setting: Setting, name: str) -> Cell:
    result = setting.by_name[name]
    if result.refused:
        return Cell(ours=Number(None, words="refused by the sandbox"))
    failed = f", failed on {count(len(result.failed), 'seed')}" if result.failed else ""
    rank = f"rank {setting.ranks[name]}" if name in setting.ranks else "no rank"
    values = list(result.fitness.values())
    return Cell(ours=Number(result.mean, stats.standard_error(values), count(len(values), "seed"), rank + failed))
