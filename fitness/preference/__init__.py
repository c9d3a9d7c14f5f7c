"""The preference task: any Hugging Face causal language model trained on any preference data."""

from fitness.preference.options import JudgeEvaluation, Options
from fitness.preference.pairs.digests import path_digest

__all__ = ["JudgeEvaluation", "Options", "path_digest"]
