"""Random split of the pairs into disjoint parts, the same in every run.

By default no prompt is in two parts. `split_by: pair` is for prompts of a few words, which thousands of pairs share: then no pair
is in two parts, in either order of its completions.
"""

import json
import random
from typing import TYPE_CHECKING, Any, Literal

from fitness.score import bad_data

if TYPE_CHECKING:
    from datasets import Dataset


BY_PAIR = "set fitness.split_by=pair if many pairs share a prompt of a few words"
SplitBy = Literal["prompt", "pair"]


def parted(
    data: "Dataset", first: int, purpose: str, implicit: bool, by: SplitBy = "prompt"
) -> tuple["Dataset", "Dataset"]:
    """Two random parts without a common prompt or pair, the first with about `first` rows. Raises EvaluationFailed("bad_data")."""
    rows_of: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    for row, (name, kept_together) in enumerate(_pairs(data) if by == "pair" else _prompts(data, implicit)):
        rows_of.setdefault(names.setdefault(kept_together, name), []).append(row)
    if len(rows_of) == 1 and len(data) > 1:
        if by == "pair":
            raise bad_data(f"all {len(data)} pairs for {purpose} are the same pair", "give pairs that differ")
        raise bad_data(
            f"all {len(data)} pairs for {purpose} have one prompt, {next(iter(rows_of))[:80]}, and no prompt is in two parts",
            f"give pairs of several prompts, in a column `prompt` or as the common beginning of chosen and rejected, or {BY_PAIR}",
        )
    prompts = sorted(rows_of)
    random.Random(f"evopo {purpose}").shuffle(prompts)
    parts: tuple[list[int], list[int]] = ([], [])
    for prompt in prompts:
        parts[len(parts[0]) >= first].extend(rows_of[prompt])
    return data.select(sorted(parts[0])), data.select(sorted(parts[1]))


def without_those_of(test: "Dataset", train: "Dataset", implicit: bool, by: SplitBy = "prompt") -> "Dataset":
    """The training pairs whose prompt does not occur in the test pairs; by pair, those that are no test pair themselves."""
    theirs, ours = ((_pairs(data) if by == "pair" else _prompts(data, implicit)) for data in (test, train))
    tested = {key for _, key in theirs}
    kept = [row for row, (_, key) in enumerate(ours) if key not in tested]
    return train if len(kept) == len(train) else train.select(kept)


def drawn(data: "Dataset", count: int, seed_text: str) -> "Dataset":
    """`count` rows drawn without replacement with the seed `seed_text`; all rows in random order if there are not more."""
    return data.select(random.Random(seed_text).sample(range(len(data)), min(count, len(data))))


def _prompts(data: "Dataset", implicit: bool) -> list[tuple[str, str]]:
    """Each row's prompt, and its question: the prompt without surrounding whitespace.

    A row of texts without a common beginning counts as a question of its own.
    """
    prompts = data["prompt"][:]
    if implicit and "" in prompts:
        sides = zip(prompts, data["chosen"][:], data["rejected"][:], strict=True)
        prompts = [prompt or ["", chosen, rejected] for prompt, chosen, rejected in sides]
    return [(json.dumps(p, sort_keys=True), json.dumps(_stripped(p), sort_keys=True)) for p in prompts]


def _pairs(data: "Dataset") -> list[tuple[str, str]]:
    """Each row's pair, and what is the same of two equal pairs: without surrounding whitespace, completions in either order."""
    sides = zip(data["prompt"][:], data["chosen"][:], data["rejected"][:], strict=True)
    texts = [[json.dumps(_stripped(text), sort_keys=True) for text in side] for side in sides]
    return [(key, key) for key in (json.dumps([prompt, *sorted(both)]) for prompt, *both in texts)]


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return value.strip() if isinstance(value, str) else value
