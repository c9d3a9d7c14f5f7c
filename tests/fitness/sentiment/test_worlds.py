"""Worlds: their structure is in the data, a seed determines them, and control variates keep the expectation of the reward."""

import copy
import hashlib
import json
import math
import statistics
from random import Random
from typing import get_args

import pytest
import torch

from fitness.sentiment.control import WordStates
from fitness.sentiment.options import Options
from fitness.sentiment.reviews import adjective_reward, lexicon_reward, prompts
from fitness.sentiment.runner import SentimentRunner
from fitness.sentiment.task import DATA
from fitness.sentiment.worlds import EMBEDDED, WORLDS, WorldName, flipped
from fitness.task import TaskError, make_task, task_info
from fitness.task.registry import begins

PAIRS = 160

BEFORE_WORLDS = {
    "beta": 0.5, "learning_rate": 7e-4, "kl_weight": 0.02, "pairs": 512, "batch_size": 16, "epochs": 4, "short_steps": 40,
    "label_noise": 0.1, "temperature": 1.0, "samples": 512, "kl_limit": 50.0, "least_distinct": 0.1,
}  # fmt: skip
"""The options that runs recorded before there were worlds."""


def runner(world: str, **options: object) -> SentimentRunner:
    return SentimentRunner(Options.model_validate({"world": world, "pairs": PAIRS, **options}), DATA)


class Pairs:
    """Training pairs of a world, with the rewards and reference log-probabilities of the better and the worse review."""

    def __init__(self, world: str, judge=lexicon_reward, **options: object) -> None:
        made = runner(world, **options)
        self.rows = list(made._training_pairs(0))

        def reward(ids: list[int]) -> float:
            return judge(" ".join(made.words[i] for i in ids if i != made.end))

        self.gaps = [reward(row["chosen_ids"]) - reward(row["rejected_ids"]) for row in self.rows]
        self.wrong = [gap < 0 for gap in self.gaps]

    def better_minus_worse(self, measure) -> list[float]:
        return [
            (measure(row, "chosen") - measure(row, "rejected")) * (-1 if wrong else 1)
            for row, wrong in zip(self.rows, self.wrong, strict=True)
        ]

    def means(self, values: list[float]) -> tuple[float, float]:
        """Mean over the pairs with a wrong label, and over the others."""
        parts = [[v for v, wrong in zip(values, self.wrong, strict=True) if wrong is which] for which in (True, False)]
        return tuple(sum(part) / len(part) for part in parts)


def nats(row, side: str) -> float:
    return row[f"ref_{side}_logps"]


def tokens(row, side: str) -> float:
    return len(row[f"{side}_ids"])


@pytest.fixture(scope="module")
def typical(quick_collection):
    made = make_task("sentiment", {"world": "typical", "pairs": 64, "epochs": 1, "short_steps": 1, "samples": 300})
    made.prepare()
    quick_collection()
    return made


# --- records and options ---


def test_every_world_has_one_record_and_valid_defaults():
    assert get_args(WorldName) == tuple(WORLDS) == tuple(world.name for world in WORLDS.values())
    for name, world in WORLDS.items():
        resolved = Options.model_validate({"world": name})
        assert resolved.record is world
        assert {key: getattr(resolved, key) for key in world.defaults} == dict(world.defaults)


def test_an_option_of_the_user_overrides_the_worlds_default():
    assert Options.model_validate({"world": "few_pairs", "epochs": 3}).epochs == 3
    assert Options.model_validate({"world": "few_pairs", "epochs": 3}).pairs == 64


def test_an_unknown_world_names_the_known_ones():
    with pytest.raises(
        TaskError, match=r"fitness\.world: expected one of classic, .*got 'lenght'; did you mean length"
    ):
        task_info("sentiment", {"world": "lenght"})
    with pytest.raises(TaskError, match=r"fitness\.batch_size must be at most fitness\.pairs, got 80 and 64"):
        task_info("sentiment", {"world": "few_pairs", "batch_size": 80})


def test_the_world_is_part_of_the_identity_and_classic_is_what_was_recorded_before_there_were_worlds():
    assert task_info("sentiment").identity["options"] == BEFORE_WORLDS
    assert task_info("sentiment", {"world": "classic"}).identity == task_info("sentiment").identity
    assert task_info("sentiment", {"world": "length"}).identity["options"]["world"] == "length"
    ours, theirs = (task_info("sentiment", {"world": world}).identity for world in ("length", "strong_noise"))
    assert ours != theirs


def test_a_new_run_begins_in_the_embedded_world_and_says_so():
    assert begins("sentiment") == {"world": EMBEDDED}
    assert task_info("sentiment", begins("sentiment")).opening == f"World {EMBEDDED}: {WORLDS[EMBEDDED].structure}."


# --- which labels are flipped ---


def test_as_many_labels_are_flipped_as_asked_for():
    odds = [Random("odds").gauss(0, 3) for _ in range(200)]
    for start in range(20):
        taken = flipped(Random(start), odds, 0.35)
        assert len(taken) == len(set(taken)) == 70
    assert flipped(Random(0), odds, 0.0) == []


def test_a_pair_is_flipped_in_proportion_to_the_sigmoid_of_its_log_odds():
    odds = [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    counts = [0] * len(odds)
    for start in range(6000):
        for position in flipped(Random(start), odds, 1 / 3):
            counts[position] += 1
    weights = [1 / (1 + math.exp(-o)) for o in odds]
    for count, weight in zip(counts, weights, strict=True):
        assert count / 6000 == pytest.approx(2 * weight / sum(weights), abs=0.03)


def test_a_label_is_never_flipped_twice():
    assert flipped(Random(1), [20.0, -20.0, -20.0, -20.0], 0.5).count(0) == 1


def test_extreme_log_odds_do_not_overflow():
    assert flipped(Random(1), [-1e6, 1e6], 0.5) == [1]


# --- structure ---


def test_classic_is_the_data_of_before_there_were_worlds():
    pairs = SentimentRunner(Options(), DATA)._training_pairs(0)
    columns = [list(pairs[name]) for name in ("prompt_ids", "chosen_ids", "rejected_ids")]
    assert hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16] == "8ca2d1d1e79f872c"


def test_strong_noise_flips_a_third_whatever_the_pair():
    pairs = Pairs("strong_noise")
    assert sum(pairs.wrong) == round(0.35 * PAIRS)
    wrong, right = pairs.means(pairs.better_minus_worse(nats))
    assert abs(wrong - right) < 3.0


def test_in_typical_the_wrong_labels_chose_what_the_reference_finds_likely():
    pairs = Pairs("typical")
    assert sum(pairs.wrong) == round(0.4 * PAIRS)
    wrong, right = pairs.means(pairs.better_minus_worse(nats))
    assert wrong < -2.0 < 1.0 < right


def test_in_unfamiliar_the_wrong_labels_are_those_of_the_pairs_that_the_reference_finds_unlikely():
    pairs = Pairs("unfamiliar")
    assert sum(pairs.wrong) == round(0.4 * PAIRS)
    levels = [nats(row, "chosen") + nats(row, "rejected") for row in pairs.rows]
    middle = statistics.median(levels)
    unlikely = [wrong for wrong, level in zip(pairs.wrong, levels, strict=True) if level < middle]
    assert sum(unlikely) > 0.9 * sum(pairs.wrong)
    wrong, right = pairs.means(pairs.better_minus_worse(nats))
    assert abs(wrong - right) < 3.0


def test_in_length_the_wrong_labels_chose_the_longer_review():
    pairs = Pairs("length")
    assert sum(pairs.wrong) == round(0.35 * PAIRS)
    wrong, right = pairs.means(pairs.better_minus_worse(tokens))
    assert wrong < -2.0 < 0.5 < right


def test_few_pairs_trains_as_many_steps_on_an_eighth_of_the_pairs():
    resolved = Options.model_validate({"world": "few_pairs"})
    assert len(SentimentRunner(resolved, DATA)._training_pairs(0)) == 64
    assert resolved.full_steps == Options().full_steps


def test_in_shifted_judge_labels_follow_another_judge_than_the_measurement():
    ours, theirs = Pairs("shifted_judge", adjective_reward), Pairs("shifted_judge", lexicon_reward)
    assert sum(ours.wrong) == round(0.1 * PAIRS)
    assert sum(theirs.wrong) > sum(ours.wrong) + 0.1 * PAIRS


def test_in_shifted_judge_every_seed_has_as_many_pairs_as_wanted():
    made = SentimentRunner(Options.model_validate({"world": "shifted_judge"}), DATA)
    seeds = (
        2,
        101,
        102,
        201,
        202,
        302,
    )  # so many reviews of these have equal numbers of adjectives that pairs were missing once
    assert [len(made._training_pairs(seed)) for seed in seeds] == [made.options.pairs] * len(seeds)


@pytest.mark.parametrize("world", ["typical", "unfamiliar", "length", "shifted_judge"])
def test_a_seed_determines_the_pairs_of_a_world(world):
    once, again = (list(runner(world, pairs=32)._training_pairs(5)) for _ in range(2))
    assert once == again
    assert once != list(runner(world, pairs=32)._training_pairs(6))


def test_adjectives_alone_count_for_the_crude_judge():
    assert adjective_reward("the plot was not good .") == adjective_reward("the plot was good .") > 0
    assert adjective_reward("i hated the plot .") == 0.0


# --- measurement ---


def test_states_follow_the_word_list(typical):
    words = typical._runner.words
    text = ["the", "plot", "was", "not", "bad", ".", "it", "is", "a", "masterpiece", "."]
    states = WordStates(words)(torch.tensor([[words.index(word) for word in text]]))[0]
    assert states[:, 0].tolist() == [1.0] * len(text)
    assert [word for word, state in zip(text, states[:, 1], strict=True) if state] == ["bad", "."]
    total = 4.0 * math.atanh(states[-1, 3].item())
    assert total / math.sqrt(total**2 + 15) == pytest.approx(lexicon_reward(" ".join(text)), abs=1e-5)


def test_control_variates_keep_the_expectation_under_another_policy_and_lower_the_variance(typical):
    made = typical._runner
    policy = copy.deepcopy(made.reference)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.mul_(1.0 + 0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    for held_out in (False, True):
        test = made._evaluation_set(0, held_out)
        prompt_ids = made._draw_prompts("control test", "search", 1024)
        completions = made._sample(policy, prompt_ids, 11)
        rewards = torch.tensor([test.judge(text) for text in made._texts(completions)], dtype=torch.float64)
        with torch.inference_mode():
            _, luck = made._along_samples(policy, prompt_ids, completions, made._control(test.judge))
        assert abs(luck.mean().item()) < 4 * luck.std().item() / math.sqrt(len(luck))
        assert (rewards - luck).var().item() < 0.5 * rewards.var().item()


def test_a_controlled_fitness_is_the_mean_of_its_items_on_each_prompt_equally_often(typical, losses):
    result = typical.score_seed(losses["logistic"], "held_out", 0)
    assert result.items.mean == pytest.approx(result.fitness, abs=1e-9)
    assert result.fitness == pytest.approx(
        result.metrics["reward"] - typical.options.kl_weight * result.metrics["kl_per_sequence"]
    )
    assert sorted(group.removeprefix("<bos> ") for group in result.items.groups) == sorted(prompts("held_out"))
    again = make_task("sentiment", typical.options.model_dump()).score_seed(losses["logistic"], "held_out", 0)
    assert (again.fitness, again.items) == (result.fitness, result.items)


def test_prompts_beyond_whole_rounds_are_drawn(typical):
    drawn = typical._runner._each_prompt("some", "search", 450)
    counts = sorted({tuple(row): drawn.tolist().count(row) for row in drawn.tolist()}.values())
    assert counts == [1] * 150 + [2] * 150
