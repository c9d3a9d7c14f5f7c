"""Limits of a model from its configuration: context length and vocabulary. Reads plain data, so it needs no torch."""

from collections.abc import Mapping
from typing import Any

from fitness.preference.options import RewardModelEvaluation

# Model types whose positions start after the padding token's id, so that many positions fewer are usable.
OFFSET_BY_PADDING = {
    "camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta",
    "xlm-roberta-xl", "xmod",
}  # fmt: skip
# Model types with relative positions: a number in their configuration is not a limit.
RELATIVE = {"longt5", "mt5", "switch_transformers", "t5", "umt5", "xlnet"}


def positions(config: Mapping[str, Any]) -> int | None:
    """The context length in tokens; None if the configuration sets no limit."""
    config = _of_text(config)
    kind = config.get("model_type")
    if kind in RELATIVE or config.get("position_biased_input") is False:
        return None
    limit = next(
        (config[key] for key in ("max_position_embeddings", "n_positions") if _is_count(config.get(key))), None
    )
    if limit is not None and kind in OFFSET_BY_PADDING:
        padding = config.get("pad_token_id")
        limit -= 1 + (padding if isinstance(padding, int) else 1)
    return limit


def vocabulary(config: Mapping[str, Any]) -> int | None:
    """The number of tokens that the model has an embedding for; None if the configuration does not say."""
    size = _of_text(config).get("vocab_size")
    return size if _is_count(size) else None


def beyond_reward_model(evaluation: RewardModelEvaluation, limit: int | None) -> str | None:
    """The message for a user's `max_length` beyond the reward model's `limit` in tokens; None if it is within the limit."""
    if limit is None or "max_length" not in evaluation.model_fields_set or evaluation.max_length <= limit:
        return None
    return (
        f"{evaluation.max_length} tokens are more than the reward model's context of {limit}; set it to {limit} or less, or "
        "leave it out"
    )


def reward_length(evaluation: RewardModelEvaluation, limit: int | None) -> int:
    """The longest input of a reward model in tokens: the smaller of `max_length` and `limit`."""
    return evaluation.max_length if limit is None else min(evaluation.max_length, limit)


def _of_text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = config.get("text_config")
    return {**config, **(inner if isinstance(inner, Mapping) else {})}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
