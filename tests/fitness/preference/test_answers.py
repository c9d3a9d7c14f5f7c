"""Sampled answers of a trained policy, and their evaluation by reward model and judge."""

import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import PartialState
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, GenerationConfig, LlamaForSequenceClassification
from transformers.integrations import deepspeed

sys.path.insert(0, str(Path(__file__).parent))
from loopback_llm import Answer, Fault, LoopbackLLM, Status, closed_port
from test_preference import (
    CHAT_TEMPLATE,
    VOCABULARY,
    judge_options,
    options,
    pairs,
    prefer_good,
    prepared,
    refused,
    reward_model,
    save_model,
    save_pairs,
    save_tokenizer,
    shared,
    tiny_config,
)

from fitness.chat import asker
from fitness.preference.evaluation.answers import Trained, divergence, policy_answers, reference_answers
from fitness.preference.evaluation.evaluators import Metrics, PairScores, RewardEvaluator
from fitness.preference.evaluation.reward_model import RewardModel
from fitness.preference.judge import judge
from fitness.preference.judge.judge import Judge
from fitness.preference.options import JudgeEvaluation, RewardModelEvaluation, Sampling
from fitness.score import EvaluationFailed, FailureReason
from fitness.task import TaskError, check_task, make_task
from fitness.training import trainer
from sandbox.known import graph

__all__ = ["options", "reward_model", "shared"]  # fixtures
END = VOCABULARY.index("<eos>")
LEARN = {"epochs": 8, "learning_rate": 2e-2}  # far enough from the reference for the distance to be seen


class Look:
    """An evaluator that passes the trained policy to `see`."""

    size = 24

    def __init__(self, see: Callable[[Trained], Any]) -> None:
        self.see = see

    def measure(self, trained: Trained, pairs: PairScores) -> tuple[list[float], Metrics, None]:
        self.seen = self.see(trained)
        return [0.0] * len(trained.test), {}, None


def looked(options: dict[str, Any], see: Callable[[Trained], Any]) -> Any:
    """The value of `see` for a policy that was trained with `options`."""
    task, look = prepared(options), Look(see)
    task._runner.evaluators["search"] = look
    task.score_seed(graph("dpo"), "full", 0)
    return look.seen


def logits(model: Any, ids: list[list[int]]) -> torch.Tensor:
    """Of the next token, in float64, without anything of the trainer's."""
    with torch.no_grad():
        return model.eval()(torch.tensor(ids)).logits[:, -1].double()


# --- divergence ---


def exact_divergence(trained: Trained, prompt: list[int], temperature: float) -> tuple[float, float]:
    """KL(policy || reference) in nats of answers of up to two tokens, by enumeration of all of them, and the standard
    deviation of the log-ratio of one answer."""

    def log_probs(model: Any) -> torch.Tensor:
        first = (logits(model, [prompt]) / temperature).log_softmax(-1)[0]
        second = logits(model, [[*prompt, token] for token in range(len(VOCABULARY))]) / temperature
        both = first[:, None] + second.log_softmax(-1)
        both[END] = first[END] - math.log(len(VOCABULARY))  # nothing follows the end; its row stands for one answer
        return both

    policy = log_probs(trained.trainer.model)
    with trained.reference() as model:
        log_ratio = policy - log_probs(model)
    mean = (policy.exp() * log_ratio).sum()
    return mean.item(), (policy.exp() * (log_ratio - mean) ** 2).sum().sqrt().item()


@pytest.mark.parametrize("dense_logits", [2**24, 0], ids=["dense", "tiled"])
@pytest.mark.parametrize(("lora", "temperature"), [(None, 0.5), ({"r": 8}, 0.1)], ids=["full", "lora"])
def test_the_reported_divergence_is_the_exact_kl_at_the_sampling_temperature(
    lora, temperature, dense_logits, options, monkeypatch
):
    monkeypatch.setattr(trainer, "DENSE_LOGITS", dense_logits)
    sampling = Sampling(max_new_tokens=2, temperature=temperature, batch=500)
    count = 2000

    def see(trained: Trained) -> tuple[float, float, float]:
        many = dataclasses.replace(trained, test=trained.test.select([0] * count))
        _, reported = divergence(many, sampling, policy_answers(many, sampling))
        return reported["kl_per_sequence"], *exact_divergence(many, many.test[0]["prompt_ids"], sampling.temperature)

    reported, exact, deviation = looked(options(lora=lora, **LEARN), see)
    error = deviation / math.sqrt(count)
    assert exact > 20 * error  # else the next line could not fail
    assert reported == pytest.approx(exact, abs=3 * error)


def test_answers_are_scored_after_the_prompts_that_they_were_written_to(options, tmp_path):
    """Prompts of 25 tokens and answers of 16 share 32: what does not fit is cut off the prompts, for both."""
    rows = [row | {"prompt": " ".join(f"w{(i * j) % 30}" for j in range(1, 26))} for i, row in enumerate(pairs())]
    sampling = Sampling(max_new_tokens=16, temperature=1.0, batch=24)

    def see(trained: Trained) -> tuple[tuple[list[float], dict[str, float]], list[float]]:
        answers = policy_answers(trained, sampling)

        def log_prob(model: Any, prompt: list[int], answer: list[int]) -> float:
            ids = torch.tensor([prompt[-16:] + answer])
            with torch.no_grad():
                log_probs = model.eval()(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
            return log_probs[-len(answer) :].sum().item()

        both = list(zip(trained.test["prompt_ids"], answers, strict=True))
        policy = [log_prob(trained.trainer.model, *each) for each in both]
        with trained.reference() as model:
            reference = [log_prob(model, *each) for each in both]
        return divergence(trained, sampling, answers), [p - r for p, r in zip(policy, reference, strict=True)]

    data = save_pairs(tmp_path / "data.jsonl", rows)
    (by_answer, reported), expected = looked(options(data=str(data), **LEARN), see)
    assert by_answer == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert reported["kl_per_sequence"] == pytest.approx(sum(expected) / len(expected), rel=1e-4)
    assert reported["kl_per_token"] == pytest.approx(reported["kl_per_sequence"] / reported["length"])


def test_a_divergence_that_is_not_finite_is_a_failure(options):
    sampling = Sampling(max_new_tokens=4)

    def see(trained: Trained) -> EvaluationFailed:
        answers = policy_answers(trained, sampling)
        trained.trainer.model.lm_head.weight.data[5] = float("nan")
        with pytest.raises(EvaluationFailed, match="log-ratios") as caught:
            divergence(trained, sampling, answers)
        return caught.value

    assert looked(options(), see).reason is FailureReason.DIVERGED


def test_a_models_own_generation_settings_change_no_answer(options, tmp_path):
    answers = []
    for settings in (
        {},
        {"repetition_penalty": 9.0, "no_repeat_ngram_size": 1, "suppress_tokens": [5, 6], "min_p": 0.9},
    ):
        folder = save_model(tmp_path / f"model-{len(settings)}")
        GenerationConfig(eos_token_id=[END, 7], do_sample=True, **settings).save_pretrained(folder)
        answers.append(looked(options(model=str(folder)), lambda t: reference_answers(t, Sampling(max_new_tokens=16))))
    assert answers[0] == answers[1]
    assert any(answer[-1] == 7 for answer in answers[0])  # the further end tokens are the model's own


# --- reward model ---


def test_a_chat_reward_model_reads_one_beginning_token(shared, reward_model, tmp_path):
    """Its template writes the token, and the tokenizer would write it again."""
    tokenizer = AutoTokenizer.from_pretrained(reward_model)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<unk> $A", special_tokens=[("<unk>", 0)])
    tokenizer.bos_token = "<unk>"
    folder = Path(shutil.copytree(reward_model, tmp_path / "reward"))
    for template, expected in ((None, ["<unk>", "w1", "good"]), ("<unk> " + CHAT_TEMPLATE, None)):
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        by = RewardModelEvaluation(by="reward_model", model=str(folder))
        evaluator = RewardEvaluator(by, rewarder := RewardModel(by))
        evaluator.prepare(PartialState(cpu=True))
        read = []
        rewarder.model.register_forward_pre_hook(
            lambda module, args, kwargs, read=read: read.append(kwargs["input_ids"]), with_kwargs=True
        )
        accelerator = type("Alone", (), {"process_index": 0, "num_processes": 1})
        trained = type("Trained", (), {
            "test": {"prompt_json": ['"w1"']}, "texts": lambda self, answers: ["good"],
            "trainer": type("Trainer", (), {"accelerator": accelerator}),
        })()  # fmt: skip
        evaluator._rewards(trained, [[0]])
        if expected is None:
            turns = [{"role": "user", "content": "w1"}, {"role": "assistant", "content": "good"}]
            expected = tokenizer.convert_ids_to_tokens(tokenizer.apply_chat_template(turns)["input_ids"])
        assert tokenizer.convert_ids_to_tokens(read[0][0]) == expected


# --- several sampling seeds, probabilities, VADER ---


def by_class(shared: Path, **changes: Any) -> dict[str, Any]:
    folder = shared / "two classes"
    if not folder.exists():
        save_tokenizer(folder)
        torch.manual_seed(5)
        LlamaForSequenceClassification(tiny_config(num_labels=2)).save_pretrained(folder)
    sampling = {"prompts": 12, "max_new_tokens": 8, "batch": 5, "temperature": 1.0}
    return {"by": "reward_model", "model": str(folder), "label": 1} | sampling | changes


def test_each_sampling_seed_writes_other_answers_and_metrics_are_their_means(options, shared):
    evaluation = by_class(shared, kl_weight=0.1)
    once = prepared(options(evaluation=evaluation)).score_seed(graph("dpo"), "full", 0)
    thrice = prepared(options(evaluation=evaluation, sampling_seeds=3)).score_seed(graph("dpo"), "full", 0)
    assert not any(name.endswith("_sampling_error") for name in once.metrics)
    metrics = thrice.metrics
    assert metrics["reward"] != once.metrics["reward"]
    assert metrics["reward_sampling_error"] > 0 < metrics["kl_per_token_sampling_error"]
    assert thrice.fitness == pytest.approx(metrics["reward"] - 0.1 * metrics["kl_per_sequence"])
    assert len(thrice.items.values) == len(once.items.values), "items are test prompts, not answers"


def test_the_reward_of_a_class_is_its_probability_or_the_logarithm(options, shared):
    of = {
        kind: prepared(options(evaluation=by_class(shared, reward=kind)))
        .score_seed(graph("dpo"), "full", 0)
        .items.values
        for kind in ("probability", "log_probability")
    }
    assert [math.log(value) for value in of["probability"]] == pytest.approx(of["log_probability"], abs=1e-5)


def test_a_probability_needs_a_class():
    with pytest.raises(ValueError, match="probability needs label"):
        RewardModelEvaluation(by="reward_model", model="m", reward="probability")


def test_sampling_seeds_without_sampled_answers_are_refused(options):
    with pytest.raises(TaskError, match="sampling_seeds above 1 needs an evaluation by reward_model or vader"):
        make_task("preference", options(sampling_seeds=2))


VADER = {"by": "vader", "prompts": 12, "max_new_tokens": 8, "temperature": 1.0}


@pytest.mark.skipif(find_spec("vaderSentiment") is None, reason="needs vaderSentiment (the extra vader)")
def test_vader_rewards_what_sounds_good(options):
    """Of the tiny model's words it knows good and bad."""
    task = prepared(options(evaluation=VADER, **LEARN))
    metrics = task.score_seed(graph("dpo"), "full", 0).metrics
    assert metrics["reward"] > metrics["reference_reward"] + 0.05
    assert -1 <= metrics["reference_reward"] <= 1


@pytest.mark.skipif(find_spec("vaderSentiment") is not None, reason="the package is installed")
def test_without_its_package_vader_is_refused_with_the_command_that_installs_it(options):
    with pytest.raises(TaskError, match=r"needs vaderSentiment, not installed here; run: pip install 'evopo\[vader\]'"):
        check_task("preference", options(evaluation=VADER))
    assert "pip install 'evopo[vader]'" in refused(options(evaluation=VADER))


# --- judge ---


EASY = '{"better": "first"}'


def judging(server: LoopbackLLM, **changes: Any) -> Judge:
    return Judge(JudgeEvaluation(**judge_options(server, **changes)))


def only_the_easy_one(body: dict[str, Any], number: int) -> Any:
    return EASY if json.loads(body["messages"][-1]["content"])["first"] == "4" else Fault.PROSE


def test_unreadable_replies_about_the_answers_are_a_collapse(options):
    with LoopbackLLM(fallback=only_the_easy_one) as server:
        task = prepared(options(evaluation=judge_options(server)))
        with pytest.raises(EvaluationFailed, match="100%") as caught:
            task.score_seed(graph("dpo"), "short", 0)
    assert caught.value.reason is FailureReason.COLLAPSED


def test_unreadable_replies_to_an_easy_question_too_are_the_judges_fault():
    with (
        LoopbackLLM([EASY], fallback=lambda body, number: Fault.PROSE) as server,
        pytest.raises(EvaluationFailed, match="stronger model") as caught,
    ):
        judging(server).check()
        judging(server).compare(["p"], ["a"], ["b"])
    assert caught.value.reason is FailureReason.BAD_DATA


def test_a_question_that_the_judge_refuses_is_one_unreadable_reply():
    def reply(body: dict[str, Any], number: int) -> Any:
        return Fault.TOO_LONG if "long" in body["messages"][-1]["content"] else EASY

    with LoopbackLLM(fallback=reply) as server:
        _, metrics, _ = judging(server).compare(["p"] * 9 + ["long"], ["a"] * 10, ["b"] * 10)
    assert metrics["judge_unreadable"] == 0.1


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.DISCONNECT, Fault.HTML_ERROR, Fault.WRONG_CONTENT_TYPE])
def test_an_outage_of_the_judge_is_waited_out(fault, monkeypatch):
    monkeypatch.setattr(asker, "FIRST_PAUSE", 0.01)
    with LoopbackLLM([fault] * 6, fallback=lambda body, number: EASY) as server:
        _, metrics, _ = judging(server, concurrency=1).compare(["p"], ["a"], ["b"])
    assert metrics["win_rate"] == 0.5


def test_a_long_outage_of_the_judge_leaves_the_evaluation_open(options, monkeypatch):
    """With bad_data a session pauses, and a later session resumes the training."""
    monkeypatch.setattr(judge, "PATIENCE", 0.1)
    monkeypatch.setattr(asker, "FIRST_PAUSE", 0.01)
    with LoopbackLLM([EASY], fallback=lambda body, number: Fault.SERVER_ERROR) as server:
        task = prepared(options(evaluation=judge_options(server)))
        with pytest.raises(EvaluationFailed, match="the same command then continues") as caught:
            task.score_seed(graph("dpo"), "short", 0)
        words = f"stopped answering: {server.base_url} answered 500: The server had an error while processing"
        assert words in caught.value.detail
    assert caught.value.reason is FailureReason.BAD_DATA


def test_not_every_question_waits_for_a_judge_that_is_gone(monkeypatch):
    """If each question waited for minutes, a few hundred questions would take hours."""
    slept: list[float] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(asker, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock[0]))
    with closed_port() as address, pytest.raises(EvaluationFailed):
        evaluation = JudgeEvaluation(by="judge", base_url=address, model="m", concurrency=1)
        Judge(evaluation).compare(["p"] * 50, ["a"] * 50, ["b"] * 50)
    assert sum(slept) <= judge.PATIENCE


NO_MESSAGE = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0}]}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Fault.WRONG_CONTENT_TYPE, "a web page"),
        (Fault.BROKEN_JSON, "broken JSON"),
        (Fault.NO_JSON, "no chat completion"),
        (Status(200, NO_MESSAGE), "without any choice"),
        (Status(200, {"error": "no slot is free"}), "no slot is free"),
        (
            Status(200, {"choices": [{"error": {"code": 401, "message": "who are you?"}}]}),
            "the variable OPENAI_API_KEY",
        ),
        (
            Status(404, {"error": {"message": "The model `scripted-1` does not exist"}}),
            "check fitness.evaluation.model",
        ),
        (Status(400, {"error": {"message": "filtered", "code": "content_filter"}}), "answered 400: filtered"),
        (Fault.NO_CREDIT, "You exceeded your current quota"),
        (Answer("I cannot compare these."), "it replied: I cannot compare these."),
        (Answer("<think>Perhaps", finish_reason="length"), "ended at max_tokens"),
        (Status(200, {"choices": [{"message": {"content": None, "refusal": "I am sorry."}}]}), "I am sorry."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_error_of_an_unusable_judge_quotes_its_reply(reply, words):
    with LoopbackLLM(fallback=lambda body, number: reply) as server, pytest.raises(EvaluationFailed) as caught:
        judging(server).check()
    assert words in caught.value.detail


def test_an_endpoint_without_chat_completions_names_the_option(options):
    with LoopbackLLM(fallback=lambda body, number: Fault.NO_JSON) as server:
        final = {"held_out_evaluation": judge_options(server, prompts=10)}
        detail = refused(options(evaluation=judge_options(server), model="/nowhere", **final))
    for section in ("fitness.evaluation", "fitness.held_out_evaluation"):
        assert f"check that {section}.base_url supports OpenAI's chat completions; it usually ends in /v1" in detail


def test_a_worker_reports_all_faults_together(options):
    with LoopbackLLM() as server:
        gone = judge_options(server)
    detail = refused(options(evaluation=gone, model="/nowhere", data="/nowhere.jsonl"))
    for words in ("the judge 'scripted-1'", "cannot load the model '/nowhere'", "there is no file /nowhere.jsonl"):
        assert words in detail
    assert len(detail.splitlines()) >= 3


def test_judgements_are_reproducible_if_the_server_allows_it():
    with LoopbackLLM(fallback=lambda body, number: EASY) as server:
        judging(server).check()
        assert server.bodies[-1]["temperature"] == 0.0
        assert server.bodies[-1]["seed"] == 0
    with LoopbackLLM(fallback=lambda body, number: EASY, rejects=["temperature", "seed"]) as server:
        ours = judging(server)
        ours.check()
        asked = server.requests
        ours.compare(["p"], ["a"], ["b"])
        assert not {"temperature", "seed"} & server.bodies[-1].keys()
        assert server.requests == asked + 2  # what is refused is found out once


def test_a_judge_that_echoes_the_key_writes_it_nowhere(options, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-secret-of-the-judge")
    with LoopbackLLM(fallback=lambda body, number: Fault.ECHO_KEY) as server:
        assert "secret" not in refused(options(evaluation=judge_options(server, api_key_env="JUDGE_KEY")))


# --- the model that is lent ---


def hooks(model: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_gradient_checkpointing_leaves_no_hooks_on_the_base_model(options):
    task = prepared(options(lora={"r": 2}, gradient_checkpointing=True))
    counts = []
    for seed in range(3):
        task.score_seed(graph("dpo"), "short", seed)
        counts.append(hooks(task._runner.policies.pristine))
    assert counts == [0, 0, 0]


def test_the_reference_is_loaded_whole_under_zero_3(options):
    """DeepSpeed is not installed here, so what would shard the model fails to import it."""

    class Configuration:
        def is_zero3(self) -> bool:
            return True

    policies = prepared(options())._runner.policies
    policies.pristine = None  # as in a launch group
    configuration = Configuration()
    deepspeed.set_hf_deepspeed_config(configuration)
    try:
        with policies.reference(None, torch.device("cpu")) as model:
            assert all(weight.numel() for weight in model.parameters())
        assert deepspeed.is_deepspeed_zero3_enabled()
    finally:
        deepspeed.unset_hf_deepspeed_config()


def test_a_good_answer_still_wins(options):
    """The protections against wrong verdicts must not change a correct one."""
    with LoopbackLLM(fallback=lambda body, number: prefer_good(json.loads(body["messages"][-1]["content"]))) as server:
        points, metrics, _ = judging(server).compare(["p", "p"], ["good", "w1"], ["bad", "w1"])
    assert points == [1.0, 0.5]
    assert metrics == {"win_rate": 0.75, "judge_agreement": 1.0, "judge_unreadable": 0.0}
