"""Messages for wrong settings: the full key, the expected and the given value, and the key that was probably meant."""

import math

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from evo.config.schema import ConfigError, load_config
from fitness.task import TaskError, task_info
from fitness.task.faults import did_you_mean, faults


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("bugdet.proposals=3", "unknown key bugdet: did you mean budget? Known there: "),
        ("budget.proposal=3", "unknown key budget.proposal: did you mean budget.proposals? Known there: evaluations"),
        ("proposals=3", "unknown key proposals: did you mean budget.proposals?"),
        ("beta=1", "unknown key beta: did you mean fitness.beta?"),
        ("qqq=1", "unknown key qqq; known there: "),
        ("budget.proposals=many", "budget.proposals: expected a whole number, got 'many'"),
        ("budget.proposals=2.5", "budget.proposals: expected a whole number, got 2.5"),
        ("seed=null", "seed: expected a whole number, got null"),
        ("seed=-1", "seed: expected a number of at least 0, got -1"),
        ("budget.usd=[1]", "budget.usd: expected a number of at least 0, unlimited or null, got [1]"),
        ("ladder.keep=0", "ladder.keep: expected a number above 0, got 0"),
        ("ladder.baseline_betas=[1, x]", "ladder.baseline_betas[1]: expected a number, got 'x'"),
        ("ladder.baseline_betas=[-1]", "ladder.baseline_betas: expected positive multiples, got [-1]"),
        ("search.mode=chatt", "search.mode: expected one of population, chat, sample, got 'chatt'; did you mean chat?"),
        ("llm=3", "llm: expected keys and values, got 3"),
        ("llm.temperatures=[]", "llm.temperatures: expected a list of length 1 or more, got []"),
        ("name=a b", "name: expected letters, digits"),
        ("task=sentimnt", "got 'sentimnt'; did you mean sentiment?"),
    ],
)
def test_a_wrong_key_or_value_of_the_configuration(given, says):
    with pytest.raises(ConfigError) as caught:
        load_config(None, [given])
    assert says in str(caught.value)


PREFERENCE = {"model": "m", "data": "d"}


@pytest.mark.parametrize(
    ("task", "options", "says"),
    [
        ("sentiment", {"betta": 1}, "unknown key fitness.betta: did you mean fitness.beta?"),
        ("sentiment", {"beta": math.nan}, "fitness.beta: expected a finite number, got nan"),
        ("preference", {}, "fitness.model is required: causal language model"),
        ("preference", PREFERENCE | {"lora": {"rr": 1}}, "unknown key fitness.lora.rr: did you mean fitness.lora.r?"),
        ("preference", PREFERENCE | {"lora": {"target_modules": 3}}, "fitness.lora.target_modules: expected text or a list, got 3"),
        ("preference", PREFERENCE | {"evaluation": {"by": "judgee"}}, "got 'judgee'; did you mean judge?"),
        ("preference", PREFERENCE | {"evaluation": {"by": "reward_model"}}, "fitness.evaluation.model is required"),
        (
            "preference", PREFERENCE | {"evaluation": {"by": "judge", "base_url": 1, "model": "m"}},
            "fitness.evaluation.base_url: expected text, got 1",
        ),
        ("preference", PREFERENCE | {"pairs": 8}, "fitness.batch_size must be at most fitness.pairs, got 32 and 8"),
        ("preference", PREFERENCE | {"gradient_checkpointing": "maybe"}, "expected true or false, got 'maybe'"),
        ("preference", PREFERENCE | {"cache": 3}, "fitness.cache: expected a path, got 3"),
    ],
)  # fmt: skip
def test_a_wrong_option_of_a_task_is_named_by_its_key_in_a_configuration(task, options, says):
    with pytest.raises(TaskError) as caught:
        task_info(task, options)
    assert says in str(caught.value)


def test_every_fault_is_reported_in_our_own_words():
    with pytest.raises(ConfigError) as caught:
        load_config(None, ["seed=x", "llm.timeout_seconds=x", "threads=0", "proposer=x", "launcher=3"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 5 and not any("Input" in line or "valid" in line for line in lines)


def test_a_long_or_hostile_value_stays_short_and_on_one_line():
    class Model(BaseModel):
        model_config = ConfigDict(extra="forbid")
        number: int

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"number": "\x1b[31m\n" * 999})
    (line,) = faults(caught.value, Model)
    assert len(line) < 130 and line.isprintable()


def test_there_is_no_suggestion_without_a_close_key():
    assert did_you_mean("xyzzy", ["dpo", "ipo"]) == ""
    assert did_you_mean("dpoo", ["dpo", "ipo"]) == "; did you mean dpo?"
