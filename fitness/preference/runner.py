"""Runner of the preference task: training and evaluation of one loss after another (imports torch and trl)."""

import gc
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import torch
import transformers
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from filelock import FileLock, Timeout
from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl import DPOConfig

from fitness.chat.costs import Usage
from fitness.preference.caches import cache_faults
from fitness.preference.evaluation.answers import Trained
from fitness.preference.evaluation.evaluators import make_evaluator, pair_scores
from fitness.preference.options import Options, essential
from fitness.preference.pairs.seen import PROMPT_COLUMN, notes_on
from fitness.preference.pairs.sources import Faults, Pairs, drawn, load_pairs
from fitness.preference.policies import (
    Policies,
    check_context,
    check_device,
    load_tokenizer,
    notes_on_precision,
    on_cpu,
    precision,
)
from fitness.preference.reference_cache import any_loss, cached_pairs, reference_key
from fitness.preference.saving import save_trained, save_untrained
from fitness.score import EvaluationFailed, FailureReason, ItemScores, SeedResult, bad_data, is_out_of_memory
from fitness.task.protocol import Rung
from fitness.training.batches import REFERENCE_COLUMNS, TOKEN_COLUMNS, PreferenceLoss
from fitness.training.checkpoints import newest_whole
from fitness.training.curves import CurveRecorder
from fitness.training.trainer import GraphDPOTrainer

if TYPE_CHECKING:
    from sandbox.graph.loss_graph import VerifiedGraph

OUT_OF_MEMORY_REMEDY = (
    "lower fitness.micro_batch, fitness.max_length or fitness.evaluation.batch, set fitness.gradient_checkpointing or "
    "fitness.lora, or use more devices"
)

OF_THE_LOSS = (FailureReason.DIVERGED, FailureReason.COLLAPSED, FailureReason.UNSUPPORTED_LOSS)
"""Failures that would occur again, so checkpoints are deleted. After others (no judge, no memory) they are kept for a retry."""


class PreferenceRunner:
    """Holds model, data and evaluators; scores one loss after another. Every rank of a launch group has its own runner."""

    def __init__(self, options: Options) -> None:
        """Runs cheap checks first (such as the judge's availability), then loads data and models, then computes the cache."""
        self.options = options
        datasets.disable_progress_bars()
        transformers.utils.logging.disable_progress_bar()
        check_device(options)
        if fault := "\n".join(cache_faults(options)):
            raise EvaluationFailed(FailureReason.BAD_DATA, fault)
        self.state = PartialState(cpu=on_cpu(options))
        self.evaluators = {"search": make_evaluator(options.evaluation, sampling_seeds=options.sampling_seeds)}
        final = options.held_out_evaluation
        self.evaluators["held_out"] = (
            make_evaluator(final, "fitness.held_out_evaluation", options.sampling_seeds)
            if final
            else self.evaluators["search"]
        )
        self.paid: Usage | None = None
        self.micro_batch, self.accumulation, pairs, self.tokenizer = self._opened()
        self.policies = Policies(options)
        self._rehearse()
        for evaluator in set(self.evaluators.values()):
            evaluator.prepare(self.state)
        with _memory_errors():
            for name, evaluator in self.evaluators.items():
                evaluator.rehearse(pairs.parts[name]["prompt"])
            arguments = self._arguments(None, 1, 0, options.beta, options.learning_rate)
            self.reference_key = reference_key(options, pairs, self.policies, self.tokenizer, arguments)
            seen = cached_pairs(self.reference_key, options, pairs, self.policies, self.tokenizer, arguments)
        self.data = seen.parts
        evaluation_notes = dict.fromkeys(note for evaluator in self.evaluators.values() for note in evaluator.notes)
        self.notes = (*notes_on_precision(options), *notes_on(pairs, seen, options), *evaluation_notes)

    @property
    def judged(self) -> int:
        """Number of prompts in the final's evaluation."""
        return len(set(self.data["held_out"][PROMPT_COLUMN]))

    def score(self, graph: "VerifiedGraph", rung: Rung, seed: int, beta: float, learning_rate: float) -> SeedResult:
        """Train once and evaluate. Raises EvaluationFailed."""
        started = time.perf_counter()
        part = "held_out" if rung.held_out else "search"
        evaluator = self.evaluators[part]
        pairs = drawn(self.data["train"], self.options.pairs, f"pairs {seed}")
        test = drawn(self.data[part], evaluator.size, f"test {seed}")
        trainer: GraphDPOTrainer | None = None
        watch = CurveRecorder()
        try:
            with (
                watch.kept_on_failure(),
                _memory_errors(),
                self._checkpoints(graph, rung, seed, beta, learning_rate) as folder,
            ):
                arguments = self._arguments(folder, rung.steps, seed, beta, learning_rate)
                trainer = self._trainer(graph, pairs, arguments, watch)
                trainer.train(resume_from_checkpoint=self._last_checkpoint(folder))
                metrics = {"train_loss": _last_loss(trainer)}
                scores, measured = pair_scores(trainer.log_probs(test), test, beta)
                trained = Trained(trainer, self.policies, self.tokenizer, test, seed)
                values, more, paid = evaluator.measure(trained, scores)
                metrics |= measured | more
                tokens = int(trainer.state.num_input_tokens_seen)
        finally:
            self.policies.take_back(trainer.model if trainer is not None else None)
            trainer = None
            self._release()
        items = ItemScores.of(values, prompt_names(test))
        return SeedResult(
            fitness=items.mean,
            metrics=metrics,
            seconds=time.perf_counter() - started,
            tokens=tokens,
            steps=rung.steps,
            seed=seed,
            items=items,
            paid=paid,
            curves=watch.curves,
        )

    def pair_margins(
        self, graph: "VerifiedGraph", rung: Rung, seed: int, beta: float, learning_rate: float
    ) -> list[float]:
        """Train once like `score`, without checkpoints, and return the margins of the training pairs, in nats. Raises
        EvaluationFailed."""
        pairs = drawn(self.data["train"], self.options.pairs, f"pairs {seed}")
        trainer: GraphDPOTrainer | None = None
        try:
            with _memory_errors():
                trainer = self._trainer(graph, pairs, self._arguments(None, rung.steps, seed, beta, learning_rate))
                trainer.train()
                margins: list[float] = trainer.margins(pairs).tolist()
        finally:
            self.policies.take_back(trainer.model if trainer is not None else None)
            trainer = None
            self._release()
        return margins

    def save_policy(
        self, graph: "VerifiedGraph | None", rung: Rung, seed: int, path: Path, beta: float, learning_rate: float
    ) -> None:
        """Train once like `score`, and save the policy; without a graph the untrained one. Raises EvaluationFailed."""
        if graph is None:
            save_untrained(self.options, self.tokenizer, path, self.state)
            return
        pairs = drawn(self.data["train"], self.options.pairs, f"pairs {seed}")
        trainer: GraphDPOTrainer | None = None
        try:
            with _memory_errors(), self._checkpoints(graph, rung, seed, beta, learning_rate) as folder:
                trainer = self._trainer(graph, pairs, self._arguments(folder, rung.steps, seed, beta, learning_rate))
                trainer.train(resume_from_checkpoint=self._last_checkpoint(folder))
                save_trained(trainer, self.options, self.tokenizer, path, self.state)
        finally:
            self.policies.take_back(trainer.model if trainer is not None else None)
            trainer = None
            self._release()

    def _opened(self) -> tuple[int, int, Pairs, PreTrainedTokenizerBase]:
        """Micro-batch, accumulation steps, data and tokenizer, after all cheap checks. Raises EvaluationFailed with all faults."""
        faults = Faults()
        with faults:
            micro_batch, accumulation = self._batches()
        for evaluator in dict.fromkeys(self.evaluators.values()):
            with faults:
                if paid := evaluator.check(self.state):
                    self.paid = (self.paid or Usage()) + paid
        conversational = False
        with faults:
            pairs = load_pairs(self.options)
            conversational = pairs.conversational
        with faults:
            tokenizer = load_tokenizer(self.options, conversational=conversational)
        with faults:
            check_context(self.options)
        faults.report(self.paid)
        return micro_batch, accumulation, pairs, tokenizer

    def _rehearse(self) -> None:
        """Create a trainer and its optimiser once: a fault in their settings would fail every loss."""
        tokens = {column: [[self.tokenizer.eos_token_id]] * 2 for column in TOKEN_COLUMNS}
        pairs = Dataset.from_dict({**tokens, **{column: [0.0] * 2 for column in REFERENCE_COLUMNS}})
        try:
            with _memory_errors():
                arguments = self._arguments(None, 1, 0, self.options.beta, self.options.learning_rate)
                trainer = self._trainer(any_loss, pairs, arguments)
                trainer.create_optimizer()
        except (ValueError, ImportError, RuntimeError) as error:
            text = " ".join(str(error).split())
            remedy = "check fitness.optimizer and fitness.lora"
            if isinstance(error, ImportError):
                remedy = "install the package that it names, or choose another fitness.optimizer"
            raise bad_data(f"no training can be set up ({type(error).__name__}: {text[:600]})", remedy) from error
        self.policies.take_back(trainer.model)
        del trainer
        self._release()

    def _trainer(
        self,
        graph: "VerifiedGraph | PreferenceLoss",
        pairs: Dataset,
        arguments: DPOConfig,
        watch: CurveRecorder | None = None,
    ) -> GraphDPOTrainer:
        trainer = GraphDPOTrainer(
            self.policies.fresh(),
            args=arguments,
            loss_graph=graph,
            train_dataset=pairs,
            processing_class=self.tokenizer,
            peft_config=self.policies.adapter(),
            statistics=self.options.statistics,
            watch=watch,
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    def _batches(self) -> tuple[int, int]:
        """Micro-batch (pairs per device) and number of accumulation steps."""
        ranks = self.state.num_processes
        if self.options.batch_size % ranks:
            raise bad_data(
                f"fitness.batch_size {self.options.batch_size} cannot be divided among {ranks} processes",
                "make it a multiple of their number",
            )
        per_rank = self.options.batch_size // ranks
        micro = self.options.micro_batch or per_rank
        if per_rank % micro:
            raise bad_data(
                f"fitness.batch_size {self.options.batch_size} over {ranks} processes is {per_rank} each, not a multiple of "
                f"fitness.micro_batch {micro}",
                "choose a divisor",
            )
        together = micro * ranks
        if ranks > 1 and self.options.pairs % together:  # accelerate would pad the last batch with repeated pairs
            raise bad_data(
                f"fitness.pairs {self.options.pairs} cannot be divided evenly among {ranks} processes with {micro} pairs at a time",
                f"make it a multiple of {together}",
            )
        return micro, per_rank // micro

    def _arguments(self, folder: Path | None, steps: int, seed: int, beta: float, learning_rate: float) -> DPOConfig:
        options = self.options
        return DPOConfig(
            output_dir=str(folder or tempfile.gettempdir()),
            max_steps=steps,
            per_device_train_batch_size=self.micro_batch,
            per_device_eval_batch_size=self.micro_batch,
            gradient_accumulation_steps=self.accumulation,
            learning_rate=learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=round(options.warmup * steps),
            optim=options.optimizer,
            max_grad_norm=options.max_grad_norm,
            beta=beta,
            seed=seed % 2**32,
            data_seed=seed % 2**32,
            use_cpu=on_cpu(options),
            bf16=precision(options).startswith("bfloat16"),
            gradient_checkpointing=options.gradient_checkpointing,
            max_length=options.max_length,
            precompute_ref_log_probs=True,
            save_strategy="steps" if folder else "no",
            save_steps=options.checkpoint_steps or 500,
            save_total_limit=2,
            logging_steps=max(1, steps // 10),
            report_to="none",
            disable_tqdm=True,
            include_num_input_tokens_seen="non_padding",
            dataloader_pin_memory=not on_cpu(options),
        )

    @contextmanager
    def _checkpoints(
        self, graph: "VerifiedGraph", rung: Rung, seed: int, beta: float, learning_rate: float
    ) -> Iterator[Path | None]:
        """The folder of a training's checkpoints, which depends only on the training; deleted when the training has ended.

        None if no checkpoints are kept: without `checkpoint_steps`, or if another process runs the same training now.
        """
        if self.options.checkpoint_steps is None:
            yield None
            return
        what = [
            graph.to_json(),
            rung.name,
            rung.steps,
            seed,
            beta,
            learning_rate,
            essential(self.options),
            self.reference_key,  # the model or data behind a name may change
        ]
        name = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]
        folder = self.options.cache_folder / "training" / name
        # A lock of the operating system, released if the process is killed. Outside the folder, which is deleted.
        lock = FileLock(self.options.cache_folder / "locks" / f"{name}.lock")
        if not self._acquired(lock):
            yield None
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
        except EvaluationFailed as failure:
            if failure.reason in OF_THE_LOSS:
                self._remove(folder)
            raise
        else:
            self._remove(folder)
        finally:
            lock.release()

    def _acquired(self, lock: FileLock) -> bool:
        """Whether the first rank acquired the lock without waiting; the same value on every rank."""
        acquired = [True]
        if self.state.is_main_process:
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                acquired = [False]
        broadcast_object_list(acquired)
        return acquired[0]

    def _last_checkpoint(self, folder: Path | None) -> str | None:
        """The newest complete checkpoint, the same on every rank. Truncated ones are deleted."""
        found = [newest_whole(folder) if folder and self.state.is_main_process else None]
        broadcast_object_list(found)
        return found[0]

    def _remove(self, folder: Path) -> None:
        if self.state.is_main_process:
            shutil.rmtree(folder, ignore_errors=True)

    def _release(self) -> None:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextmanager
def _memory_errors() -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        first_line = str(error).splitlines()[0] if str(error) else "out of memory"
        raise EvaluationFailed("out_of_memory", f"{first_line[:300]}: {OUT_OF_MEMORY_REMEDY}") from error


def prompt_names(pairs: Dataset) -> list[str]:
    """A short digest of the prompt of each pair, equal for equal prompts."""
    return [hashlib.sha256(prompt.encode()).hexdigest()[:12] for prompt in pairs[PROMPT_COLUMN]]


def _last_loss(trainer: GraphDPOTrainer) -> float:
    return float(next(entry["loss"] for entry in reversed(trainer.state.log_history) if "loss" in entry))
