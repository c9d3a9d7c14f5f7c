"""A language model's record in place of the model: each step gets the replies and failures that it got then.

A transcript comes from an archive's proposals, or from a file of JSON lines that people can read and edit:

    {"step": 1, "attempt": 1, "error": "rate_limit", "message": "...", "remedy": "..."}
    {"step": 1, "attempt": 2, "text": "...", "model": "...", "tokens_in": 900, "tokens_out": 210, "usd": null, "seconds": 3.1}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from archive.disk.files import read_bounded
from archive.records import ProposalRow, ProposalState
from evo.proposing.llm.client import AttemptObserver, Prompt, Reply
from evo.proposing.reply.reply import ReplyFormat
from fitness.chat.errors import ErrorKind, LLMError

LONGEST = 2**28
"""Bytes of a transcript."""

Attempt = Reply | LLMError
Transcript = Mapping[int, Sequence[Attempt]]
"""Attempts by step, in order; the last one of a step is its reply, or the error that ended it."""


class ReplayClient:
    """Answers from a transcript. The prompt is not looked at: whoever replays compares template hashes and references."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript

    async def __aenter__(self) -> ReplayClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def complete(
        self,
        prompt: Prompt,
        *,
        step: int,
        temperature: float,
        seed: int | None = None,
        observer: AttemptObserver | None = None,
        first_attempt: int = 1,
    ) -> Reply:
        """What `step` got. Raises the LLMError that it ended in, or one of kind NOT_RECORDED."""
        attempts = self.transcript.get(step, ())
        for number, attempt in enumerate(attempts, first_attempt):
            if isinstance(attempt, Reply):
                if observer:
                    observer.started(number, attempt.model, ())
                return replace(attempt, attempt=number)
            if observer:
                observer.started(number, "", ())
            last = number - first_attempt == len(attempts) - 1
            if observer:
                observer.failed(number, attempt, None if last else 0.0)
            if last:
                raise attempt
        message = f"the recorded transcript has no reply for step {step}"
        raise LLMError(
            ErrorKind.NOT_RECORDED, message, "end the replay at the last recorded step, or configure an endpoint"
        )


def transcript_of(proposals: Iterable[ProposalRow]) -> dict[int, list[Attempt]]:
    """The transcript in an archive. Attempts that were lost, with the process that made them, are left out."""
    transcript: dict[int, list[Attempt]] = {}
    for row in sorted(proposals, key=lambda p: (p.step, p.attempt)):
        if row.reply is not None:
            reply = Reply(
                text=row.reply,
                model=row.model or "",
                tokens_in=row.tokens_in,
                tokens_out=row.tokens_out,
                usd=row.usd,
                seconds=row.seconds or 0.0,
                finish_reason=None,
                attempt=row.attempt,
            )
            transcript.setdefault(row.step, []).append(reply)
        elif row.state is ProposalState.FAILED:
            transcript.setdefault(row.step, []).append(LLMError.from_record(row.error or ""))
    return transcript


def write_transcript(path: Path, transcript: Transcript) -> None:
    """Write a transcript as JSON lines. Raises OSError."""
    lines = [
        json.dumps(_to_json(step, number, attempt), ensure_ascii=False)
        for step, attempts in sorted(transcript.items())
        for number, attempt in enumerate(attempts, 1)
    ]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read_transcript(path: Path) -> dict[int, list[Attempt]]:
    """A transcript from JSON lines. Raises OSError, UnsafeFile, and ValueError that names the line that is none."""
    transcript: dict[int, list[Attempt]] = {}
    for number, line in enumerate(read_bounded(path, LONGEST).decode("utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            step = data.pop("step")
            attempt = _from_json(data)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"line {number} of {path} is no attempt of a transcript: {error}") from None
        if not isinstance(step, int):
            raise ValueError(f"line {number} of {path} has no step number")
        transcript.setdefault(step, []).append(attempt)
    return transcript


def _to_json(step: int, number: int, attempt: Attempt) -> dict[str, Any]:
    if isinstance(attempt, Reply):
        return {"step": step, **asdict(attempt), "attempt": number}
    return {
        "step": step,
        "attempt": number,
        "error": attempt.kind.value,
        "message": attempt.message,
        "remedy": attempt.remedy,
    }


def _from_json(data: dict[str, Any]) -> Attempt:
    if "error" in data:
        return LLMError(ErrorKind(data["error"]), str(data["message"]), str(data.get("remedy", "")))
    if not isinstance(data["text"], str):
        raise TypeError("text must be a string")
    return Reply(
        text=data["text"],
        model=str(data.get("model", "")),
        tokens_in=data.get("tokens_in"),
        tokens_out=data.get("tokens_out"),
        usd=data.get("usd"),
        seconds=float(data.get("seconds", 0.0)),
        finish_reason=data.get("finish_reason"),
        reply_format=ReplyFormat(data.get("reply_format", "json")),
        attempt=int(data.get("attempt", 1)),
    )
