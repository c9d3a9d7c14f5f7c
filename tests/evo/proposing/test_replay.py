"""A recorded model answers each step as it did, failures included."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from archive.records import Operator, ProposalRow, ProposalState
from evo.proposing.llm.client import Reply
from evo.proposing.replay import ReplayClient, Transcript, read_transcript, transcript_of, write_transcript
from evo.proposing.reply.reply import ReplyFormat
from fitness.chat.errors import Consequence, ErrorKind, LLMError
from fitness.chat.request import Message

ASK = [Message("user", "Write one.")]
REPLY = Reply("text \u2028 é\n", "m", 10, 20, None, 1.5, "stop", ReplyFormat.FENCED)
BUSY = LLMError(ErrorKind.RATE_LIMIT, "endpoint answered 429: a | b", "wait; then go on")


class Log:
    def __init__(self) -> None:
        self.seen: list[object] = []

    def started(self, attempt: int, model: str, messages: Sequence[Message]) -> None:
        self.seen.append(attempt)

    def failed(self, attempt: int, error: LLMError, next_in: float | None) -> None:
        self.seen.append((attempt, error.kind, next_in))


def replay(transcript: Transcript, step: int, log: Log | None = None, first_attempt: int = 1) -> Reply:
    client = ReplayClient(transcript)
    return asyncio.run(client.complete(ASK, step=step, temperature=0.5, observer=log, first_attempt=first_attempt))


def test_a_step_gets_its_failures_and_then_its_reply():
    log = Log()
    reply = replay({3: [BUSY, REPLY]}, 3, log, first_attempt=2)
    assert reply.text == REPLY.text
    assert reply.attempt == 3
    assert log.seen == [2, (2, ErrorKind.RATE_LIMIT, 0.0), 3]


def test_a_step_that_failed_fails_again_in_the_same_way():
    with pytest.raises(LLMError) as caught:
        replay({3: [BUSY]}, 3)
    assert (caught.value.kind, caught.value.message) == (BUSY.kind, BUSY.message)


def test_a_step_beyond_the_record_stops_the_run():
    with pytest.raises(LLMError, match="no reply for step 4") as caught:
        replay({3: [REPLY]}, 4)
    assert caught.value.consequence is Consequence.STOP


def test_a_transcript_survives_its_file(tmp_path: Path):
    path = tmp_path / "transcript.jsonl"
    write_transcript(path, {2: [REPLY], 1: [BUSY, REPLY]})
    read = read_transcript(path)
    assert read[2] == [REPLY]
    failure = read[1][0]
    assert isinstance(failure, LLMError)
    assert (failure.kind, failure.message, failure.remedy) == (BUSY.kind, BUSY.message, BUSY.remedy)


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "3", '{"text": "x"}', '{"step": 1}', '{"step": "1", "text": "x"}', '{"step": 1, "text": 5}',
     '{"step": 1, "error": "unheard_of", "message": ""}'],
)  # fmt: skip
def test_a_file_that_is_no_transcript_names_the_line(tmp_path: Path, line: str):
    path = tmp_path / "transcript.jsonl"
    path.write_text('{"step": 1, "text": "fine"}\n\n' + line + "\n")
    with pytest.raises(ValueError, match="line 3"):
        read_transcript(path)


def row(
    step: int, attempt: int, state: ProposalState, reply: str | None = None, error: str | None = None
) -> ProposalRow:
    return ProposalRow(
        step * 10 + attempt, step, attempt, Operator.REFINE, "openai", "m", 0.7, "hash", {}, 0, state, reply,
        5, 6, None, 0.5, error, 1, 2,
    )  # fmt: skip


def test_an_archives_proposals_are_a_transcript():
    rows = [
        row(2, 1, ProposalState.RECEIVED, "second"),
        row(1, 3, ProposalState.FAILED, "prose", "the reply is prose"),
        row(1, 1, ProposalState.FAILED, None, BUSY.record),
        row(1, 2, ProposalState.LOST),
        row(3, 1, ProposalState.FAILED, None, "in nobody's words"),
    ]
    transcript = transcript_of(rows)
    assert replay(transcript, 1).text == "prose"
    assert replay(transcript, 2).text == "second"
    first = transcript[1][0]
    assert isinstance(first, LLMError)
    assert (first.kind, first.message, first.remedy) == (BUSY.kind, BUSY.message, BUSY.remedy)
    with pytest.raises(LLMError, match="in nobody's words"):
        replay(transcript, 3)
