"""Log-probabilities of the first token's alternatives: read where an endpoint gives them, and nothing else is taken for one."""

import math
from typing import Any

import pytest
from loopback_llm import Answer, LoopbackLLM

from fitness.chat.asker import Asker
from fitness.chat.costs import Usage
from fitness.chat.endpoint import Endpoint
from fitness.chat.replies.alternatives import MOST, first_token_alternatives
from fitness.chat.request import Message


def choice(listed: Any) -> dict[str, Any]:
    return {"logprobs": {"content": [{"token": "m", "logprob": -0.1, "top_logprobs": listed}]}}


def test_they_come_over_the_wire_and_are_asked_for() -> None:
    odds = {"m": math.log(0.75), "M": math.log(0.25)}
    with LoopbackLLM([Answer("m", alternatives=odds)]) as server:
        asker = Asker(lambda: Endpoint.resolve("a", base_url=server.base_url), 1, "the judge")
        answer, paid = asker.ask(
            [Message("user", "m or M?")], most=Usage(9, 9, 0.0), lost=lambda usage: None, patience=0.0, temperature=0.0, seed=0,
            extra={"logprobs": True, "top_logprobs": 5}, max_tokens=1,
        )  # fmt: skip
        assert answer.alternatives == pytest.approx(odds) and answer.text == "m"
        assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 5)
        assert server.bodies[0]["max_tokens"] == 1
    assert (paid.tokens_in, paid.tokens_out) == (1000, 200)


@pytest.mark.parametrize(
    "given",
    [
        {}, {"logprobs": None}, {"logprobs": []}, {"logprobs": {"content": []}}, {"logprobs": {"content": [3]}}, choice(None),
        choice({"m": -1}), choice(["m"]), choice([{"token": 3, "logprob": -1.0}]), choice([{"token": "m", "logprob": "x"}]),
        choice([{"token": "m", "logprob": 0.5}]), choice([{"token": "m", "logprob": math.nan}]),
        choice([{"token": "m", "logprob": -math.inf}]), choice([{"token": "m", "logprob": True}]),
        choice([{"token": "m" * 1000, "logprob": -1.0}]),
    ],
)  # fmt: skip
def test_other_forms_give_none(given: dict[str, Any]) -> None:
    assert first_token_alternatives(given) == {}


def test_the_first_of_equal_tokens_counts_and_their_number_is_bounded() -> None:
    listed = [{"token": "m", "logprob": -0.1}, {"token": "m", "logprob": -5.0}]
    assert first_token_alternatives(choice(listed)) == {"m": -0.1}
    many = [{"token": str(number), "logprob": -1.0} for number in range(100)]
    assert len(first_token_alternatives(choice(many))) == MOST
