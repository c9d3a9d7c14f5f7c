"""Random split of the pairs into disjoint parts, the same in every run; no prompt is in two parts."""

import json
import random
from typing import TYPE_CHECKING, Any

from fitness.score import bad_data

if TYPE_CHECKING:
    from datasets import Dataset


def parted(data: "Dataset", first: int, purpose: str, implicit: bool) -> tuple["Dataset", "Dataset"]:
    """Two random parts without a common prompt, the first with about `first` rows. Raises EvaluationFailed("bad_data")."""
    rows_of: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    for row, (prompt, question) in enumerate(_prompts(data, implicit)):
        rows_of.setdefault(names.setdefault(question, prompt), []).append(row)
    if len(rows_of) == 1 and len(data) > 1:
        raise bad_data(
            f"all {len(data)} pairs for {purpose} have one prompt, {next(iter(rows_of))[:80]}, and no prompt is in two parts",
            "give pairs of several prompts, in a column `prompt` or as the common beginning of chosen and rejected",
        )
    prompts = sorted(rows_of)
    random.Random(f"evopo {purpose}").shuffle(prompts)
    parts: tuple[list[int], list[int]] = ([], [])
    for prompt in prompts:
        parts[len(parts[0]) >= first].extend(rows_of[prompt])
    return data.select(sorted(parts[0])), data.select(sorted(parts[1]))


def without_prompts_of(test: "Dataset", train: "Dataset", implicit: bool) -> "Dataset":
    """The training pairs whose prompt does not occur in the test pairs."""
    tested = {question for _, question in _prompts(test, implicit)}
    kept = [row for row, (_, question) in enumerate(_prompts(train, implicit)) if question not in tested]
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


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return value.strip() if isinstance(value, str) else value
