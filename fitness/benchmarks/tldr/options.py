"""Options of TL;DR."""

from __future__ import annotations

from pydantic import Field

from fitness.benchmarks.comparing import ComparingOptions
from fitness.preference.options import Name


class TldrOptions(ComparingOptions):
    """Options of TL;DR. Temperature and longest summary are those of the experiments of Lu et al. 2024."""

    posts: Name = Field(
        "trl-lib/tldr",
        description="posts with a person's summary: a file or folder in the comparisons format of summarize-from-feedback or in "
        "TRL's (prompt and completion, or prompt, chosen and rejected), or a data set on the hub",
    )
    split: str = Field("test", description="split of a folder or of a data set on the hub")
    max_new_tokens: int = Field(256, ge=1, description="longest summary, tokens")
    stop: tuple[str, ...] = Field(
        ("\n\n", "\nSUBREDDIT:", "<|endoftext|>"),
        description="texts at which a summary ends: a paragraph's end, the next post, the data's own mark",
    )
