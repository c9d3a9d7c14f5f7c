"""The preference task: training of any Hugging Face causal language model on any preference data.

Trainer and batches are in `fitness.training`; the embedded task is `fitness.sentiment`. Nothing here starts a process.
"""

from fitness.preference.options import JudgeEvaluation, Options
from fitness.preference.pairs.digests import path_digest

__all__ = ["JudgeEvaluation", "Options", "path_digest"]
