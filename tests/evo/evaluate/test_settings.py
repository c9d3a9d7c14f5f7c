"""Settings of an evaluation: what is the judge's, what is the task's, and what is wrong."""

from pathlib import Path

import pytest

from evo.config.schema import ConfigError
from evo.evaluate.settings import parted

RECIPES = Path(__file__).parents[3] / "recipes" / "judging"


def test_overrides_are_parted_by_their_section(tmp_path: Path) -> None:
    file = tmp_path / "judge.yaml"
    file.write_text("judge:\n  base_url: http://localhost:1/v1\n  model: a\nmt-bench:\n  questions: q.jsonl\n")
    settings, rest = parted(
        file, ["judge.model=b", "fitness.beta=0.1", "generation.batch=2", "budget.usd=5", "mt-bench.mode=both"]
    )
    assert rest == ("fitness.beta=0.1", "budget.usd=5")
    assert settings.judge is not None and (settings.judge.model, settings.judge.concurrency) == ("b", 8)
    assert settings.generation.batch == 2
    assert settings.options == {"mt-bench": {"questions": "q.jsonl", "mode": "both"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("judge:\n  model: a\n", "judge.base_url is required"),
        ("judge:\n  base_url: http://x/v1\n  model: a\n  concurency: 2\n", "did you mean judge.concurrency"),
        ("judges:\n  model: a\n", "unknown section judges.*did you mean judge"),
        ("task: sentiment\n", "unknown section task.*--config"),
        ("judge: gpt\n", "judge: expected keys and values"),
        ("generation:\n  engine: tgi\n", "expected one of transformers, vllm"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "judge.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        parted(file, [])


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_are_valid(recipe: Path) -> None:
    settings, rest = parted(recipe, [])
    assert settings.judge is not None and settings.judge.prices.known and rest == ()
    assert set(settings.judged(list(settings.options))) == set(settings.options)


def test_without_anything_there_is_no_judge() -> None:
    settings, rest = parted(None, [])
    assert settings.judge is None and settings.options == {} and rest == ()
