"""The seeds of a run's final: nobody's before it begins, the archive's from then on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from archive.errors import CorruptArchive
from archive.query import Reader
from archive.records import EventKind, RunRow
from archive.store import Archive
from evo.campaign.finalists import with_fresh_seeds
from evo.config.schema import parse_config
from evo.search.population import Population
from evo.search.rng import derive
from fitness.schedule.ladder import Seeds
from fitness.task import task_info

CONFIG = parse_config({"seed": 5})
INFO = task_info("sentiment")


@contextmanager
def recorded(folder: Path, *finals: Sequence[object]) -> Iterator[Population]:
    """The population of a run whose finals were recorded with these seeds."""
    row = RunRow("r", CONFIG.seed, "sentiment", "preference", baseline="dpo")
    with Archive.create(folder / "archive.db", row) as archive, Reader.open(folder / "archive.db") as reader:
        for seeds in finals:
            archive.event(EventKind.FINAL, {"rung": "held_out", "seeds": list(seeds)})
        yield Population(CONFIG, INFO, 1).advance(reader)


def test_the_runs_seed_decides_the_search_and_not_the_final(tmp_path: Path) -> None:
    with recorded(tmp_path) as population:
        assert population.seeds.search == Population(CONFIG, INFO, 1).seeds.search
        assert population.seeds.final == ()
        first, second = (with_fresh_seeds(population.seeds, 24).final for _ in range(2))
    assert len(set(first) | set(second)) == 48, "every final draws its own"
    assert not set(first) & set(population.seeds.search)
    assert all(0 <= seed < 2**31 for seed in first)


def test_an_interrupted_final_goes_on_with_its_seeds(tmp_path: Path) -> None:
    with recorded(tmp_path, (11, 12), (11, 12)) as population:
        assert population.seeds.final == (11, 12)
        assert with_fresh_seeds(population.seeds, 2).final == (11, 12)


def test_a_larger_final_keeps_the_seeds_of_the_smaller_one(tmp_path: Path) -> None:
    with recorded(tmp_path, (11, 12, 13), (11, 12)) as population:
        assert with_fresh_seeds(population.seeds, 2).final == (11, 12, 13), "a seed that was paid for is not forgotten"
        more = with_fresh_seeds(population.seeds, 5).final
    assert more[:3] == (11, 12, 13) and len(set(more)) == 5


def test_a_final_of_an_earlier_version_keeps_the_seeds_that_it_derived(tmp_path: Path) -> None:
    derived = tuple(derive(CONFIG.seed, "final", i) for i in range(4))
    with recorded(tmp_path, derived) as population:
        assert with_fresh_seeds(population.seeds, 4).final == derived


@pytest.mark.parametrize("seed", ["11", None, 3.5, True, [1], -1, 2**31, 10**50, 10**200])
def test_what_is_no_seed_in_a_strangers_archive_is_refused(tmp_path: Path, seed: object) -> None:
    with pytest.raises(CorruptArchive, match="from 0 to 2147483647, but is"), recorded(tmp_path, [11, seed]):
        pass


def test_the_smallest_and_the_largest_seed_are_seeds(tmp_path: Path) -> None:
    with recorded(tmp_path, [0, 2**31 - 1]) as population:
        assert population.seeds.final == (0, 2**31 - 1)


def test_a_seed_of_the_search_decides_nothing_in_the_final(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([3, 4, 4, 5])
    monkeypatch.setattr("secrets.randbelow", lambda limit: next(drawn))
    assert with_fresh_seeds(Seeds(search=(1, 2, 3), final=()), 2).final == (4, 5)
