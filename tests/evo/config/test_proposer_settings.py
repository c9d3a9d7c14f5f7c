"""The list of proposers: what is refused, and how a single key of one is set."""

from __future__ import annotations

import pytest

from evo.config.schema import ConfigError, load_config, parse_config


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"proposers": []}, "proposers: expected a list of length 1 or more"),
        ({"proposers": [{"name": "a", "model": "m"}, {"name": "a", "model": "n"}]}, "the name 'a' is given twice"),
        ({"proposers": [{"model": "m"}]}, "name is required"),
        ({"proposers": [{"name": "builtin"}]}, "not builtin or person"),
        ({"proposers": [{"name": "a", "modle": "m"}]}, "modle"),
        ({"proposers": [{"name": "a", "weight": 0}]}, "weight"),
        ({"proposers": [{"name": "a"}], "llm": {"model": "m"}}, "llm and proposers are both set"),
        ({"llm": {"model": "m", "extra_body": {"max_tokens": 9}}}, "max_tokens is set by evopo itself"),
        ({"llm": {"model": "m", "extra_body": {"x": float("nan")}}}, "finite numbers"),
    ],
    ids=["empty", "twice", "unnamed", "reserved", "unknown", "weightless", "both", "own", "nan"],
)
def test_a_list_that_cannot_be_used_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(settings)
    assert words.replace("'", "") in str(refused.value).replace("'", "")


def test_a_key_of_one_proposer_is_set_by_its_name() -> None:
    given = ("proposers=[{name: a, model: m}, {name: b, model: n}]", "proposers.b.weight=3")
    config = load_config(None, given)
    assert [(p.name, p.weight) for p in config.proposers or ()] == [("a", 1.0), ("b", 3.0)]
    with pytest.raises(ConfigError, match=r"proposers\.NAME\.KEY"):
        load_config(None, (given[0], "proposers.c={model: m}"))


def test_who_proposes_follows_from_the_configuration_alone() -> None:
    two = [{"name": "a", "model": "m"}, {"name": "b", "model": "n"}]
    asked = {
        proposer: (config.asks_a_model, config.asks_the_builtin, [*config.endpoints])
        for proposer in ("auto", "openai", "mixed", "builtin")
        if (config := parse_config({"proposers": two, "proposer": proposer}))
    }
    assert asked["auto"] == asked["openai"] == (True, False, ["a", "b"])
    assert asked["mixed"] == (True, True, ["a", "b"]) and asked["builtin"][:2] == (False, True)
