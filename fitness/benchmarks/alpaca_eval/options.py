"""Options of AlpacaEval."""

from __future__ import annotations

from pydantic import Field

from fitness.benchmarks.comparing import ComparingOptions
from fitness.preference.options import LocalPath, Name


class AlpacaEvalOptions(ComparingOptions):
    """Options of AlpacaEval; the defaults are the published ones, apart from both orders."""

    instructions: Name = Field(
        "tatsu-lab/alpaca_eval",
        description="instructions in alpaca_eval's JSON format: a file, or the data set on the hub",
    )
    baseline: Name | None = Field(
        None,
        description="a file of the baseline's outputs to the same instructions; null: the outputs beside the instructions",
    )
    gamed: Name | None = Field(
        None,
        description="alpaca_eval's df_gamed.csv for the length-controlled win rate: a file, or tatsu-lab/alpaca_eval for the one "
        "on the hub; null: without the difficulty of instructions",
    )
    max_new_tokens: int = Field(1024, ge=1, description="longest answer, tokens")
    python: LocalPath | None = Field(
        None,
        description="Python of an environment with the package alpaca_eval, which then computes the rates too; null: without it",
    )
