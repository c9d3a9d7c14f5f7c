"""Grouping of runs by configuration, labels, and which runs cannot be compared."""

import pytest
from recorded_runs import Found, config, read, record

from analysis.compare.runs import deciding_rung, require_comparable
from analysis.compare.strategies import strategies_of
from analysis.output.errors import NotComparable


def runs(tmp_path, *settings, **how):
    return [read(record(tmp_path / str(n), [Found()], own, **how)) for n, own in enumerate(settings)]


def labels(strategies):
    return [strategy.label for strategy in strategies]


def test_runs_that_differ_in_seed_and_name_are_one_strategy(tmp_path):
    found = strategies_of(runs(tmp_path, config(0, name="a"), config(1, name="b"), config(2, budget={"proposals": 9})))
    assert labels(found) == ["all runs"]
    assert [len(strategy.runs) for strategy in found] == [3]


def test_strategies_are_told_apart_by_the_keys_in_which_they_differ(tmp_path):
    found = strategies_of(
        runs(tmp_path, *(config(s, search__mode=mode) for mode in ("population", "chat") for s in (0, 1)))
    )
    assert labels(found) == ["population", "chat"]
    assert [dict(strategy.keys) for strategy in found] == [{"search.mode": "population"}, {"search.mode": "chat"}]
    assert list(found[0].runs) == list(found[1].runs) == [("0",), ("1",)], "runs with one seed are matched"


def test_a_key_that_an_older_run_lacks_has_its_default(tmp_path):
    found = strategies_of(runs(tmp_path, config(0), config(1, search={"mode": "population", "islands": 2})))
    assert labels(found) == ["all runs"]


def test_a_label_has_as_few_keys_as_tell_the_strategies_apart(tmp_path):
    models = [config(0, llm__model=m, llm__usd_per_million_in=p) for m, p in (("small", 1.0), ("large", 9.0))]
    found = strategies_of(runs(tmp_path, config(0), *models))
    assert labels(found) == ["builtin", "openai, small", "openai, large"]


def test_numbers_and_missing_values_are_named_with_their_key(tmp_path):
    found = strategies_of(runs(tmp_path, config(0, search__islands=4), config(0)))
    assert labels(found) == ["islands=4", "islands=2"]
    found = strategies_of(runs(tmp_path / "workers", config(0, workers=4), config(0)))
    assert labels(found) == ["workers=4", "workers=null"]


def test_chosen_keys_group_runs_that_differ_in_others_too(tmp_path):
    given = [config(0, search__mode=m, search__islands=i) for m in ("population", "chat") for i in (1, 4)]
    found = strategies_of(runs(tmp_path, *given), by=["search.mode"])
    assert labels(found) == ["population", "chat"]
    assert list(found[0].runs) == [("0", "1"), ("0", "4")], "runs with one seed and as many islands are matched"
    assert len(strategies_of(runs(tmp_path / "again", *given), by=["search"])) == 4, "a section stands for its keys"


def test_labels_can_be_replaced(tmp_path):
    given = runs(tmp_path, config(0), config(0, search__mode="chat"))
    assert labels(strategies_of(given, names={"chat": "DiscoPOP"})) == ["population", "DiscoPOP"]
    with pytest.raises(NotComparable, match="no strategy 'talk'; the strategies are 'population', 'chat'"):
        strategies_of(given, names={"talk": "x"})
    with pytest.raises(NotComparable, match="two strategies would be called 'population'"):
        strategies_of(given, names={"chat": "population"})


def test_an_unknown_key_is_an_error_that_names_those_that_differ(tmp_path):
    with pytest.raises(NotComparable, match=r"no run has the key 'search\.mod'.*differ: search\.mode"):
        strategies_of(runs(tmp_path, config(0), config(0, search__mode="chat")), by=["search.mod"])


def test_one_search_given_twice_is_refused(tmp_path):
    with pytest.raises(NotComparable, match="0 and 1 have the same settings and the same seed 5"):
        strategies_of(runs(tmp_path, config(5), config(5)))


def test_long_values_that_differ_at_their_end_have_different_labels(tmp_path):
    given = runs(tmp_path, *(config(0, llm__model="m" * 70 + end) for end in "ab"))
    first, second = labels(strategies_of(given))
    assert first != second


# ---- what cannot be compared ---------------------------------------------------------------------------------------


def test_other_options_of_fitness_are_an_error_that_names_the_keys(tmp_path):
    one = read(record(tmp_path / "one", [Found()], config(0), fitness={"options": {"pairs": 32, "kl": 0.1}}))
    other = read(record(tmp_path / "other", [Found()], config(1), fitness={"options": {"pairs": 64, "kl": 0.1}}))
    with pytest.raises(NotComparable, match=r"one and other measure different.*: fitness\.pairs is 32 and 64\. "):
        require_comparable([one, other])
    require_comparable([one, one])


def test_another_baseline_is_an_error(tmp_path):
    one, other = (read(record(tmp_path / name, [Found()], config(0), baseline=name)) for name in ("dpo", "slic"))
    with pytest.raises(NotComparable, match="baseline is dpo and slic"):
        require_comparable([one, other])


def test_a_run_without_a_scored_loss_is_an_error_that_names_it(tmp_path):
    good = read(record(tmp_path / "good", [Found()], config(0)))
    empty = read(record(tmp_path / "empty", [], config(1)))
    with pytest.raises(NotComparable, match="empty has no scored loss besides its baseline"):
        deciding_rung([good, empty])
    with pytest.raises(NotComparable, match="no run has a scored proposal"):
        deciding_rung([empty, empty])
    unscored = read(record(tmp_path / "unscored", [Found()], config(1), scored_baseline=False))
    with pytest.raises(NotComparable, match="unscored has no scored loss besides its baseline"):
        deciding_rung([good, unscored])
