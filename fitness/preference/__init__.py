"""The preference task: training of any Hugging Face causal language model on any preference data."""

from fitness.preference.options import JudgeEvaluation, Options
from fitness.preference.pairs.digests import path_digest

__all__ = ["JudgeEvaluation", "Options", "path_digest"]
