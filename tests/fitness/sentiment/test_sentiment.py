"""The embedded task separates good losses from bad ones, is deterministic, and its shipped model can be reproduced."""

import copy
import importlib.util
import math
from pathlib import Path

import pytest
import torch

from fitness.sentiment.collapse import refuse_collapsed
from fitness.sentiment.options import Options
from fitness.sentiment.reviews import PolarityClassifier, lexicon_reward, prompts, vocabulary, write_reviews
from fitness.sentiment.runner import SentimentRunner, _next_word
from fitness.sentiment.task import DATA, SentimentTask, info
from fitness.task import EvaluationFailed, FailureReason, make_task
from fitness.training.curves import CurveRecorder
from sandbox import known

SMALL = {"pairs": 64, "epochs": 3, "short_steps": 1, "samples": 64}


@pytest.fixture(scope="module")
def task(quick_collection) -> SentimentTask:
    """The task with its defaults."""
    made = make_task("sentiment")
    made.prepare()
    quick_collection()
    return made


@pytest.fixture(scope="module")
def small(quick_collection) -> SentimentTask:
    """Twelve steps at the rung full, one at short."""
    made = make_task("sentiment", SMALL)
    made.prepare()
    quick_collection()
    return made


# --- reviews and their judges ---


def test_the_splits_share_no_prompt_and_all_prompts_are_of_one_length():
    splits = [prompts(split) for split in ("train", "search", "held_out")]
    assert [len(split) for split in splits] == [600, 300, 300]
    assert len(set().union(*splits)) == 1200
    assert {len(prompt.split()) for split in splits for prompt in split} == {7}


def test_reviews_keep_to_the_vocabulary():
    words = set(vocabulary())
    assert all(set(f"{r.prompt} {r.body}".split()) <= words for r in write_reviews("words", 2000))


def test_reviews_are_the_same_for_the_same_seed_only():
    assert write_reviews("a", 20) == write_reviews("a", 20) != write_reviews("b", 20)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("the plot was good .", "the plot was familiar ."),
        ("the plot was familiar .", "the plot was bad ."),
        ("the plot was very good .", "the plot was good ."),
        ("the plot was not bad .", "the plot was not good ."),
        ("the plot was not long . it is a masterpiece .", "the plot was not a masterpiece ."),
        ("i loved the plot . a joy for everyone .", "i loved the plot . a waste of time ."),
    ],
)
def test_the_word_list_ranks(better, worse):
    assert -1 < lexicon_reward(worse) < lexicon_reward(better) < 1


def test_the_held_out_judge_agrees_with_hidden_polarity_it_has_not_seen():
    judge = PolarityClassifier(write_reviews("judge", 4000))
    fresh = write_reviews("fresh", 500, "held_out")
    right = sum((judge.reward(review.body) > 0) == review.positive for review in fresh)
    assert right > 0.82 * len(fresh)
    assert judge.reward("great great great") == judge.reward("great great")


# --- training pairs ---


def test_pairs_are_ranked_except_for_the_flipped_tenth(task):
    pairs = task._runner._training_pairs(0)
    words = task._runner.words
    end = task._runner.end

    def reward(ids: list[int]) -> float:
        return lexicon_reward(" ".join(words[i] for i in ids if i != end))

    wins = [reward(row["chosen_ids"]) > reward(row["rejected_ids"]) for row in pairs]
    assert (len(wins), sum(wins)) == (512, 512 - 51)


def test_pairs_are_redrawn_by_the_seed_alone(small):
    first = small._runner._training_pairs(0)["chosen_ids"]
    assert first == small._runner._training_pairs(0)["chosen_ids"]
    assert first != small._runner._training_pairs(1)["chosen_ids"]


def test_draws_of_different_seeds_are_independent(small):
    """A loss could recognise reference values of known seeds: the fresh seeds of a final must give other values."""
    one, other = (small._runner._training_pairs(seed) for seed in (0, 1))
    written = [{tuple(ids) for side in ("chosen_ids", "rejected_ids") for ids in pairs[side]} for pairs in (one, other)]
    assert not written[0] & written[1]
    values = [{v for side in ("ref_chosen_logps", "ref_rejected_logps") for v in pairs[side]} for pairs in (one, other)]
    assert not values[0] & values[1]
    assert _flipped(small, one) != _flipped(small, other)


def _flipped(task: SentimentTask, pairs) -> list[int]:
    words, end = task._runner.words, task._runner.end
    rewards = [
        [lexicon_reward(" ".join(words[i] for i in row[side] if i != end)) for side in ("chosen_ids", "rejected_ids")]
        for row in pairs
    ]
    return [number for number, (chosen, rejected) in enumerate(rewards) if chosen < rejected]


def test_reference_log_probabilities_are_those_of_training(small, losses):
    # At the first step the policy is the reference, so the logistic loss is log 2 whatever the pairs.
    result = small.score_seed(losses["logistic"], "short", 0)
    assert result.metrics["train_loss"] == pytest.approx(math.log(2), abs=1e-5)


# --- scores ---


def test_good_losses_score_above_bad_ones(task, losses):
    result = {name: task.score_seed(losses[name], "short", 0) for name in ("logistic", "constant", "inverted")}
    fitness = {name: r.fitness for name, r in result.items()}
    assert fitness["logistic"] > fitness["constant"] + 0.15 > fitness["constant"] > fitness["inverted"] + 0.1
    assert result["logistic"].metrics["preference_accuracy"] > 0.55 > 0.45
    assert result["inverted"].metrics["preference_accuracy"] < 0.45
    assert result["constant"].metrics["kl_per_sequence"] == pytest.approx(0.0, abs=1e-6)
    assert result["logistic"].tokens > 40 * 16 * 2 * 8


def test_fitness_is_reward_minus_weighted_divergence(small, losses):
    result = small.score_seed(losses["logistic"], "full", 0)
    expected = result.metrics["reward"] - 0.02 * result.metrics["kl_per_sequence"]
    assert result.fitness == pytest.approx(expected)
    per_token = result.metrics["kl_per_sequence"] / result.metrics["length"]
    assert result.metrics["kl_per_token"] == pytest.approx(per_token)
    assert (result.seed, result.steps) == (0, 12)


def test_every_review_is_an_item_of_its_prompt(small, losses):
    ours, theirs = (small.score_seed(losses[name], "held_out", 0) for name in ("logistic", "inverted"))
    assert ours.items.mean == pytest.approx(ours.fitness, abs=1e-9)
    assert len(ours.items.values) == small.options.samples
    assert {group.removeprefix("<bos> ") for group in ours.items.groups} <= set(prompts("held_out"))
    assert ours.items.groups == theirs.items.groups
    assert ours.items.values != theirs.items.values


def test_a_seed_gives_the_same_fitness_again(small, losses):
    first = small.score_seed(losses["logistic"], "full", 3)
    with pytest.raises(EvaluationFailed):
        small.score_seed(losses["nan"], "full", 3)  # what another candidate leaves behind does not matter
    again = small.score_seed(losses["logistic"], "full", 3)
    fresh = make_task("sentiment", SMALL).score_seed(losses["logistic"], "full", 3)
    assert first.fitness == again.fitness == fresh.fitness
    assert dict(first.metrics) == dict(again.metrics) == dict(fresh.metrics)
    assert small.score_seed(losses["logistic"], "full", 4).fitness != first.fitness


def test_curves_start_at_the_reference_and_hold_one_value_per_step(small, losses):
    curves = small.score_seed(losses["logistic"], "full", 0, beta=0.25).curves
    assert set(curves) == {"loss", "margin", "kl_estimate"}
    assert all([step for step, _ in points] == list(range(1, 13)) for points in curves.values())
    assert curves["loss"][0][1] == pytest.approx(math.log(2))
    assert abs(curves["margin"][0][1]) < 1e-5 and abs(curves["kl_estimate"][0][1]) < 1e-5
    assert curves["margin"][-1][1] > 0.05, "a policy that learns the preference has a margin, in nats and without beta"


def test_beta_overrides_the_option(small, losses):
    default = small.score_seed(losses["logistic"], "full", 0)
    assert small.score_seed(losses["logistic"], "full", 0, beta=0.5).fitness == default.fitness
    assert small.score_seed(losses["logistic"], "full", 0, beta=2.0).fitness != default.fitness


def test_the_held_out_rung_has_its_own_prompts_and_judge(small, losses):
    search, held_out = small._runner._evaluation_set(0, False), small._runner._evaluation_set(0, True)
    shared = {tuple(row) for row in search.prompt_ids.tolist()} & {tuple(row) for row in held_out.prompt_ids.tolist()}
    assert not shared
    assert search.judge is not held_out.judge
    result = small.score_seed(losses["logistic"], "held_out", 0)
    assert result.metrics["train_loss"] == small.score_seed(losses["logistic"], "full", 0).metrics["train_loss"]
    assert result.metrics["reward"] != small.score_seed(losses["logistic"], "full", 0).metrics["reward"]


# --- failures ---


def test_nan_is_a_failure_and_not_a_low_score(small, losses):
    with pytest.raises(EvaluationFailed) as caught:
        small.score_seed(losses["nan"], "full", 0)
    assert caught.value.reason is FailureReason.DIVERGED
    ((step, loss),) = caught.value.curves["loss"]
    assert step == 1 and math.isnan(loss), "the value that ended it is kept"


def test_a_policy_with_a_large_kl_has_collapsed(losses):
    strict = make_task("sentiment", SMALL | {"learning_rate": 2e-2, "kl_limit": 20.0})
    with pytest.raises(EvaluationFailed, match="nats per sequence, above 20") as caught:
        strict.score_seed(losses["unbounded"], "full", 0)
    assert caught.value.reason is FailureReason.COLLAPSED
    assert len(caught.value.curves["kl_estimate"]) == 12


def test_a_policy_that_repeats_itself_has_collapsed(small):
    policy = copy.deepcopy(small._runner.reference)
    policy.model.norm.weight.mul_(100.0)  # as good as no sampling noise: one review for every prompt
    _, metrics = small._runner._measure(policy, small._runner._evaluation_set(0, False))
    with pytest.raises(EvaluationFailed, match=r"of the samples are distinct, below 10\.0%") as caught:
        refuse_collapsed(metrics, small.options)
    assert caught.value.reason is FailureReason.COLLAPSED


def test_a_loss_of_another_contract_is_unsupported(small):
    foreign = known.graph("cross_entropy")
    with pytest.raises(EvaluationFailed, match="expected a 'preference' loss, got 'classification'") as caught:
        small.score_seed(foreign, "full", 0)
    assert caught.value.reason is FailureReason.UNSUPPORTED_LOSS


def test_a_missing_model_is_bad_data(small, tmp_path):
    with pytest.raises(EvaluationFailed) as caught:
        SentimentRunner(small.options, tmp_path)
    assert caught.value.reason is FailureReason.BAD_DATA


def test_pairs_of_a_task_without_winners_are_bad_data():
    cold = make_task("sentiment", SMALL | {"temperature": 1e-6})
    cold.prepare()
    with pytest.raises(EvaluationFailed, match="pairs with a winner, expected 64") as caught:
        cold._runner._training_pairs(0)
    assert caught.value.reason is FailureReason.BAD_DATA


# --- measurements ---


def test_divergence_agrees_with_the_samples_own_log_ratio(small):
    runner = small._runner
    policy = type(runner.reference)(runner.reference.config).eval()
    policy.load_state_dict(runner.reference.state_dict())
    with torch.no_grad():
        for weight in policy.parameters():
            weight.mul_(1.0 + 0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    prompt_ids = runner._draw_prompts("kl", "search", 1024)
    completions = runner._sample(policy, prompt_ids, 7)
    ids = torch.cat([prompt_ids, completions], dim=1)
    with torch.inference_mode():
        exact, luck = runner._along_samples(policy, prompt_ids, completions, None)
        ratio = runner._sequence_log_probs(policy, 8, ids) - runner._sequence_log_probs(runner.reference, 8, ids)
    noise = ratio.std().item() / math.sqrt(len(ratio))
    assert exact.mean().item() == pytest.approx(ratio.mean().item(), abs=4 * noise)
    assert exact.mean().item() > 10 * noise
    assert not luck.any()


def test_sampling_follows_the_model(small):
    runner = small._runner
    prompt_ids = runner._draw_prompts("one", "search", 1).repeat(2048, 1)
    first = runner._sample(runner.reference, prompt_ids, 1)[:, 0]
    with torch.inference_mode():
        expected = _next_word(runner.reference, torch.cat([prompt_ids[:1], first[:1, None]], dim=1), 8)[0, 0].exp()
    observed = torch.bincount(first, minlength=len(runner.words)) / len(first)
    assert (observed - expected).abs().max().item() < 0.04


def test_completions_end_once_and_fit(small):
    runner = small._runner
    completions = runner._sample(runner.reference, runner._draw_prompts("end", "train", 256), 3)
    ended = (completions == runner.end).sum(dim=1)
    assert ended.max() == 1
    assert ended.double().mean() > 0.95
    for row in completions[ended == 1].tolist():
        assert set(row[row.index(runner.end) + 1 :]) <= {runner.pad}


# --- the shipped model ---


def test_the_shipped_model_is_small():
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 1_000_000


def test_the_script_reproduces_the_shipped_model(small):
    path = Path(__file__).resolve().parents[3] / "scripts" / "make_sentiment_model.py"
    spec = importlib.util.spec_from_file_location("make_sentiment_model", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    runner = small._runner
    model, tokenizer = script.train(script.STEPS)
    assert tokenizer.get_vocab() == runner.tokenizer.get_vocab()
    shipped = script.held_out_nll(runner.reference, runner.tokenizer)
    assert script.held_out_nll(model, tokenizer) == pytest.approx(shipped, abs=0.01)
    prompt_ids = runner._draw_prompts("same", "held_out", 512)
    rewards = [
        torch.tensor([lexicon_reward(text) for text in runner._texts(runner._sample(each, prompt_ids, 5))])
        .mean()
        .item()
        for each in (model, runner.reference)
    ]
    assert rewards[0] == pytest.approx(rewards[1], abs=0.1)


# --- margins of the training pairs ---


def test_the_margins_of_the_training_pairs_are_those_of_the_trained_policy(small):
    """Computed again, from padded sequences, by the code that measures test pairs."""
    runner, seed, rung = small._runner, 3, small.rungs["full"]
    margins = torch.tensor(small.pair_margins(known.graph("dpo"), "full", seed), dtype=torch.float64)
    pairs = runner._training_pairs(seed)
    arguments = runner._arguments(rung.steps, seed, small.options.beta, small.options.learning_rate)
    policy = runner._train(known.graph("dpo"), pairs, arguments, CurveRecorder()).model

    def log_ratios(side):
        rows = [prompt + body for prompt, body in zip(pairs["prompt_ids"], pairs[f"{side}_ids"], strict=True)]
        ids = torch.full((len(rows), max(map(len, rows))), runner.pad)
        for row, kept in zip(ids, rows, strict=True):
            row[: len(kept)] = torch.tensor(kept)
        prompt = len(pairs["prompt_ids"][0])
        policy.eval()
        return runner._sequence_log_probs(policy, prompt, ids) - runner._sequence_log_probs(
            runner.reference, prompt, ids
        )

    again = (log_ratios("chosen") - log_ratios("rejected")).double()
    assert len(margins) == len(pairs) == 64
    assert margins.tolist() == pytest.approx(again.tolist(), abs=1e-3)
    assert margins.mean() > 0.1, "training with DPO raises margins"


def test_a_training_that_changes_nothing_leaves_all_margins_at_zero(small):
    margins = small.pair_margins(known.graph("dpo"), "short", 3, learning_rate=1e-30)
    assert max(map(abs, margins)) < 1e-4


def test_padding_that_the_model_draws_as_a_word_leaves_no_margin_at_the_start():
    """Six of the 3,584 completions of this seed have it, by which their reference log-probabilities were wrong."""
    task = make_task("sentiment", {"world": "unfamiliar"})
    margins = task.pair_margins(known.graph("dpo"), "short", 1754293189, learning_rate=1e-30)
    assert len(margins) == 1792 and max(map(abs, margins)) < 1e-3


# --- several sampling seeds ---


def test_a_policy_that_writes_several_times_has_errors_and_a_reference_beside_it(small):
    several = make_task("sentiment", SMALL | {"sampling_seeds": 3})
    once, thrice = (task.score_seed(known.graph("dpo"), "full", 5) for task in (small, several))
    assert not {"reference_reward", "reward_sampling_error"} & once.metrics.keys()
    assert thrice.metrics["reward"] != once.metrics["reward"]
    assert thrice.metrics["reward_sampling_error"] > 0 < thrice.metrics["kl_per_token_sampling_error"]
    assert thrice.metrics["reward"] > thrice.metrics["reference_reward"]
    assert len(thrice.items.values) == len(once.items.values)


def test_one_sampling_seed_is_the_fitness_of_older_runs():
    assert "sampling_seeds" not in info(Options()).identity["options"]
    assert info(Options(sampling_seeds=2)).identity["options"]["sampling_seeds"] == 2
