"""Runner of the classification task: training and measurement of a network (imports torch)."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fitness.classification import cifar10
from fitness.classification.digits import load_digits
from fitness.classification.examples import Examples
from fitness.classification.images import Normalised, augmented
from fitness.classification.networks.registry import CLASSES
from fitness.classification.options import Options
from fitness.score import EvaluationFailed, ItemScores, SeedResult
from fitness.task import Rung
from fitness.training.curves import CurveRecorder, thinned
from sandbox.execute.interpreter import compile_loss

if TYPE_CHECKING:
    from sandbox.graph.loss_graph import VerifiedGraph


class ClassificationRunner:
    """Holds the items; trains a fresh network for every loss."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        loaded = load_digits() if options.dataset == "digits" else cifar10.load_cifar10(options.folder)
        self.search_items, self.test_items = loaded.search.to(self.device), loaded.test.to(self.device)
        self.notes = loaded.notes
        if options.train_items >= len(self.search_items):
            raise EvaluationFailed(
                "bad_data",
                f"fitness.train_items must be below {len(self.search_items)}, to leave items to judge on; got "
                f"{options.train_items}",
            )

    def score(self, graph: "VerifiedGraph", rung: Rung, seed: int, learning_rate: float) -> SeedResult:
        """Train once and measure. Raises EvaluationFailed."""
        began = time.monotonic()
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.search_items), generator=generator).to(self.device)
        train = self.search_items.take(order[: self.options.train_items])
        numbers = order[self.options.train_items :]
        judged = self.search_items.take(numbers)
        if rung.held_out:
            judged, numbers = self.test_items, torch.arange(len(self.test_items))
        labels = self._flip(train.classes, generator)
        loss, watch = compile_loss(graph), CurveRecorder()
        with self._seeded(generator), watch.kept_on_failure():
            network = self._network(rung)
            last = self._train(network, loss, train.inputs, labels, rung.steps, learning_rate, generator, watch)
            correct, metrics = self._judge(network, judged, train, labels)
        metrics["train_loss"] = last
        return SeedResult(
            fitness=metrics["accuracy"],
            metrics=metrics,
            seconds=time.monotonic() - began,
            steps=rung.steps,
            seed=seed,
            items=ItemScores.of(correct.tolist(), map(str, numbers.tolist())),
            curves=watch.curves,
        )

    def _train(
        self, network: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, labels: Tensor, steps: int,
        learning_rate: float, generator: torch.Generator, watch: CurveRecorder,
    ) -> float:  # fmt: skip
        optimiser = self._optimiser(network, learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
        )
        network.train()
        drawn = {step for step, _ in thinned([(step, 0.0) for step in range(steps)])}
        last = 0.0
        batches: list[Tensor] = []
        for step in range(steps):
            if not batches:
                places = torch.randperm(len(labels), generator=generator).to(self.device)
                batches = [b for b in places.split(self.options.batch_size) if len(b) > 1]
            batch = batches.pop(0)
            taken = inputs[batch]
            logits = network(augmented(taken, generator) if self.options.augment else taken)
            losses = loss(logits, labels[batch])
            if losses.shape != batch.shape:
                raise EvaluationFailed(
                    "unsupported_loss", f"loss returned shape {tuple(losses.shape)}, expected {tuple(batch.shape)}"
                )
            mean = losses.mean()
            last = float(mean.detach())
            # Only at the steps that the curve keeps: on a network this small, a margin at every step would cost time.
            margin = {"margin": _margin(logits.detach(), labels[batch])} if step in drawn else {}
            watch.add(step + 1, {"loss": last} | margin)
            if not math.isfinite(last):
                raise EvaluationFailed("diverged", f"the loss is {last} at step {step + 1} of {steps}")
            optimiser.zero_grad(set_to_none=True)
            mean.backward()
            optimiser.step()
            schedule.step()
        if not all(bool(p.isfinite().all()) for p in network.parameters()):
            raise EvaluationFailed("diverged", "the trained network's weights are not finite")
        return last

    @torch.no_grad()
    def _judge(
        self, network: nn.Module, judged: Examples, train: Examples, labels: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """1.0 for each item classified correctly, else 0.0, and the metrics."""
        network.eval()
        logits = torch.cat([network(part) for part in judged.inputs.split(1024)])
        trained = torch.cat([network(part) for part in train.inputs.split(1024)]).argmax(1)
        nll = float(nn.functional.cross_entropy(logits, judged.classes))
        if not math.isfinite(nll):
            raise EvaluationFailed("diverged", "the trained network's scores are not finite")
        correct = (logits.argmax(1) == judged.classes).double()
        return correct, {
            "accuracy": correct.mean().item(),
            "cross_entropy": nll,
            "train_accuracy_clean": (trained == train.classes).double().mean().item(),
            "train_accuracy_noisy": (trained == labels).double().mean().item(),
        }

    def _flip(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        flipped = torch.rand(len(classes), generator=generator).to(self.device) < self.options.label_noise
        shift = torch.randint(1, CLASSES, (len(classes),), generator=generator).to(self.device)
        return torch.where(flipped, (classes + shift) % CLASSES, classes)

    def _optimiser(self, network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
        decay = self.options.weight_decay
        if self.options.optimiser == "sgd":
            momentum = self.options.momentum
            return torch.optim.SGD(network.parameters(), lr=learning_rate, momentum=momentum, weight_decay=decay)
        return torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=decay)

    def _network(self, rung: Rung) -> nn.Module:
        """The untrained network of the search or of the held-out rung."""
        chosen = self.options.held_out if rung.held_out else self.options.searched
        network = chosen.untrained(self.options.hidden)
        if self.options.dataset == "cifar10":
            network = nn.Sequential(Normalised(cifar10.MEAN, cifar10.DEVIATION), network)
        return network.to(self.device)

    @contextmanager
    def _seeded(self, generator: torch.Generator) -> Iterator[None]:
        """Within the block, torch's global generator depends on the seed alone: initial weights and dropout come from it."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
            yield


def _margin(logits: Tensor, labels: Tensor) -> float:
    """Mean over the batch of the label's logit minus the highest other logit."""
    own = labels[:, None]
    return float((logits.gather(1, own) - logits.scatter(1, own, -math.inf).amax(1, keepdim=True)).mean())
