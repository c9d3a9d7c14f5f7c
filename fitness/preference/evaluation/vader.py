"""The reward of an answer by VADER, a word list with rules (Hutto and Gilbert 2014), from the package vaderSentiment."""

from collections.abc import Sequence
from typing import Any

from accelerate import PartialState

from fitness.preference.evaluation.answers import shown
from fitness.score import bad_data


class Vader:
    """VADER's compound score of prompt and answer, in [-1, 1]. Words that it does not know count 0; it is made for English."""

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def check(self) -> None:
        """Raises EvaluationFailed("bad_data") if the package is not installed."""
        try:
            import vaderSentiment.vaderSentiment  # noqa: F401
        except ImportError as error:
            raise bad_data("an evaluation by vader needs vaderSentiment", "run: pip install 'evopo[vader]'") from error

    def prepare(self, state: PartialState) -> None:
        """Read the word list."""
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._analyser = SentimentIntensityAnalyzer()

    def rehearse(self, prompts: Sequence[Any]) -> None:
        """Nothing that could fail: any text has a score."""

    def rewards(self, answered: Sequence[tuple[Any, str]]) -> list[float]:
        """Rewards of (raw prompt, answer) pairs."""
        return [
            float(self._analyser.polarity_scores(f"{shown(prompt)} {answer}")["compound"])
            for prompt, answer in answered
        ]
