"""Runner of the classification task: items, networks, training and measurement (imports torch)."""

import importlib.util
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from fitness.classification.options import Options
from fitness.score import EvaluationFailed, ItemScores, SeedResult
from fitness.task import Rung
from fitness.training.curves import CurveRecorder, thinned
from sandbox.execute.interpreter import compile_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sandbox.graph.loss_graph import VerifiedGraph

TEST_FRACTION = 0.4
"""Fraction of the digits kept for the held-out rung; CIFAR-10 has its own test items."""


@dataclass(frozen=True)
class Examples:
    """Inputs, shape (items, ...), and their classes, shape (items,)."""

    inputs: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, index: Tensor) -> "Examples":
        """The items at these indices."""
        return Examples(self.inputs[index], self.classes[index])


class ClassificationRunner:
    """Holds the items; trains a fresh network for every loss."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.search_items, self.test_items = _load(options, self.device)
        self.class_count = int(self.search_items.classes.max()) + 1
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
        network, watch = self._network(rung, generator), CurveRecorder()
        loss = compile_loss(graph)
        with watch.kept_on_failure():
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
        optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-2)
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
            logits = network(inputs[batch])
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
        shift = torch.randint(1, self.class_count, (len(classes),), generator=generator).to(self.device)
        return torch.where(flipped, (classes + shift) % self.class_count, classes)

    def _network(self, rung: Rung, generator: torch.Generator) -> nn.Module:
        """The network of the search or of the held-out rung, with initial weights that depend on the seed alone."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
            shape = self.search_items.inputs.shape[1:]
            if len(shape) == 3:
                network: nn.Module = _resnet("resnet34" if rung.held_out else "resnet18", self.class_count)
            else:
                depth = 2 if rung.held_out else 1
                network = _perceptron(int(shape[0]), self.options.hidden, depth, self.class_count)
        return network.to(self.device)


def _margin(logits: Tensor, labels: Tensor) -> float:
    """Mean over the batch of the label's logit minus the highest other logit."""
    own = labels[:, None]
    return float((logits.gather(1, own) - logits.scatter(1, own, -math.inf).amax(1, keepdim=True)).mean())


def _perceptron(inputs: int, width: int, depth: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))


def _resnet(name: str, classes: int) -> nn.Module:
    """A residual network for 32 x 32 images: a 3 x 3 stem without pooling (He et al. 2016, section 4.2)."""
    import torchvision

    network: nn.Module = getattr(torchvision.models, name)(num_classes=classes)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def _load(options: Options, device: torch.device) -> tuple[Examples, Examples]:
    """Examples for the search, and examples for the held-out rung."""
    return _digits(device) if options.dataset == "digits" else _cifar10(Path(options.data_dir), device)


def _digits(device: torch.device) -> tuple[Examples, Examples]:
    table = _digits_table()  # a row for each item: its 64 pixels from 0 to 16, then its class
    items = Examples(
        torch.tensor(table[:, :-1] / 16.0, dtype=torch.float32), torch.tensor(table[:, -1], dtype=torch.int64)
    )
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0))
    held_out = int(TEST_FRACTION * len(items))
    parts = items.take(order[held_out:]), items.take(order[:held_out])
    return Examples(parts[0].inputs.to(device), parts[0].classes.to(device)), Examples(
        parts[1].inputs.to(device), parts[1].classes.to(device)
    )


def _digits_table() -> "NDArray[np.float64]":
    """The digits from scikit-learn's data file, without importing scikit-learn: that takes longer than a short training."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise EvaluationFailed("bad_data", "the digits come with scikit-learn: pip install 'evopo[train]'")
    return np.loadtxt(Path(found.submodule_search_locations[0], "datasets", "data", "digits.csv.gz"), delimiter=",")


def _cifar10(folder: Path, device: torch.device) -> tuple[Examples, Examples]:
    try:
        import torchvision
    except ImportError:
        raise EvaluationFailed("bad_data", "cifar10 needs torchvision: pip install torchvision") from None
    except RuntimeError as error:  # its operators were built for another torch
        raise EvaluationFailed("bad_data", f"torchvision does not fit this torch, install its build: {error}") from None
    try:
        parts = [torchvision.datasets.CIFAR10(str(folder), train=train, download=False) for train in (True, False)]
    except RuntimeError:
        raise EvaluationFailed(
            "bad_data",
            f"no CIFAR-10 files in {folder}; put torchvision's cifar-10-batches-py there, or set fitness.data_dir",
        ) from None
    mean, deviation = 0.473, 0.251  # over all pixels of the training images
    search, test = (
        Examples(
            ((torch.tensor(p.data, dtype=torch.float32).permute(0, 3, 1, 2) / 255.0 - mean) / deviation).to(device),
            torch.tensor(p.targets, dtype=torch.int64).to(device),
        )
        for p in parts
    )
    return search, test
