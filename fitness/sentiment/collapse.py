"""When a trained policy of the embedded task counts as collapsed."""

from collections.abc import Mapping

from fitness.score import EvaluationFailed
from fitness.sentiment.options import Options


def refuse_collapsed(metrics: Mapping[str, float], options: Options) -> None:
    """Raises EvaluationFailed("collapsed") for a policy far from the reference, or one that writes the same few reviews."""
    divergence, distinct, faults = metrics["kl_per_sequence"], metrics["distinct"], []
    if divergence > options.kl_limit:
        faults.append(f"KL is {divergence:.1f} nats per sequence, above {options.kl_limit:g}")
    if distinct < options.least_distinct:
        faults.append(f"{distinct:.1%} of the samples are distinct, below {options.least_distinct:.1%}")
    if faults:
        raise EvaluationFailed("collapsed", "; ".join(faults))
