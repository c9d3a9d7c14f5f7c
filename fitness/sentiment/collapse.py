"""When a trained policy of the embedded task counts as collapsed."""

from collections.abc import Mapping, Sequence

from fitness.score import EvaluationFailed
from fitness.sentiment.options import Options


def refuse_collapsed(metrics: Mapping[str, float], options: Options) -> None:
    """Raises EvaluationFailed("collapsed") for a policy far from the reference, or one that writes the same few reviews."""
    faults: Sequence[str] = [
        fault
        for fault, present in (
            (f"KL is {metrics['kl_per_sequence']:.1f} nats per sequence, above {options.kl_limit:g}",
             metrics["kl_per_sequence"] > options.kl_limit),
            (f"{metrics['distinct']:.1%} of the samples are distinct, below {options.least_distinct:.1%}",
             metrics["distinct"] < options.least_distinct),
        )
        if present
    ]  # fmt: skip
    if faults:
        raise EvaluationFailed("collapsed", "; ".join(faults))
