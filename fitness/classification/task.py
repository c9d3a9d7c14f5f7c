"""The classification task: losses f(logits, targets) for classification with noisy labels.

After the first case study of Lu et al. 2024 (section 3): a discovered loss is trained on CIFAR-10 and then transferred to other
networks. By default the data are scikit-learn's digits with flipped labels, and the network is a small multilayer perceptron:
half a second of CPU time per training. `dataset: cifar10` trains a residual network on a copy of CIFAR-10, as in the paper.

    fitness = accuracy on clean labels of items that were not trained on

A seed draws the training items, the flipped labels, the initial weights and the order. The rung `held_out` trains a different
network (the paper's transfer) and measures on items that the search never used.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fitness.classification import cifar10
from fitness.classification.options import Options
from fitness.task.protocol import EvaluationFailed, Rung, SeedResult, TaskError, TaskInfo, TaskOptions

if TYPE_CHECKING:
    from fitness.classification.runner import ClassificationRunner
    from sandbox.graph.loss_graph import VerifiedGraph

NAME = "classification"
CONTRACT = "classification"
METRIC = "accuracy on clean labels, fraction of the items judged"

# Estimated seconds per optimiser step of the usual network, and per training besides: on one CPU core of 2020 (digits), or on one
# data-centre GPU (cifar10).
SECONDS = {"digits": (0.0012, 0.1), "cifar10": (0.03, 5.0)}

DEVIATION = 0.011
"""Standard deviation over seeds of the difference of two good losses at held_out, default options; median of 28 pairs, 16 seeds."""

ITEMS_ERROR = 0.0015
"""Standard error of that difference from the 718 test items that all seeds share; median of 10 pairs, 7 seeds."""


def info(options: TaskOptions) -> TaskInfo:
    """Contract, metric, rungs and identity; needs no torch."""
    assert isinstance(options, Options)
    return TaskInfo(
        name=NAME,
        contract=CONTRACT,
        metric=METRIC,
        shown={"cross_entropy": "cross-entropy (nats)"},
        rungs=_rungs(options),
        identified=lambda: _identity(options),
        learning_rate=options.learning_rate,
        deviation=DEVIATION if options == Options() else None,
        items_error=ITEMS_ERROR if options == Options() else None,
        facts=_facts(options),
    )


def _identity(options: Options) -> dict[str, Any]:
    """Options, and for CIFAR-10 the contents of its files instead of their folder."""
    own = options.identifying()
    if options.dataset == "digits":
        return {"task": NAME, "options": own}
    del own["data_dir"]
    return {"task": NAME, "options": own, "data": cifar10.digest(options.folder)}


def check(options: TaskOptions) -> None:
    """Raises TaskError if the data is missing or cannot be read."""
    assert isinstance(options, Options)
    if options.dataset == "digits" and find_spec("sklearn") is None:
        raise TaskError("the digits come with scikit-learn, not installed here; run: pip install 'evopo[train]'")
    if options.dataset == "cifar10":
        try:
            cifar10.files_in(options.folder)
        except EvaluationFailed as failure:
            raise TaskError(f"fitness.data_dir: {failure.detail}") from None


def make(options: TaskOptions) -> "ClassificationTask":
    """The task; nothing is loaded before `prepare`."""
    assert isinstance(options, Options)
    return ClassificationTask(options)


class ClassificationTask:
    """The classification task; see the module's docstring."""

    name = NAME
    contract = CONTRACT
    metric = METRIC

    def __init__(self, options: Options) -> None:
        self.options = options
        self.rungs: Mapping[str, Rung] = _rungs(options)
        self.notes: tuple[str, ...] = ()
        self._runner: ClassificationRunner | None = None

    def prepare(self) -> None:
        """Import torch and load the items. Raises EvaluationFailed('bad_data', ...) that names what is missing."""
        from fitness.classification.runner import ClassificationRunner

        if self._runner is None:
            self._runner = ClassificationRunner(self.options)
            self.notes = self._runner.notes

    def score_seed(
        self,
        graph: "VerifiedGraph",
        rung: str,
        seed: int,
        *,
        beta: float | None = None,
        learning_rate: float | None = None,
    ) -> SeedResult:
        """Train a fresh network with `graph` and measure it. The contract has no beta, so `beta` must be None.

        Raises EvaluationFailed: diverged, unsupported_loss, bad_data; KeyError for an unknown rung.
        """
        chosen = self.rungs[rung]
        if graph.contract != CONTRACT:
            raise EvaluationFailed("unsupported_loss", f"expected a {CONTRACT!r} loss, got {graph.contract!r}")
        if beta is not None:
            raise EvaluationFailed("unsupported_loss", f"a classification loss has no beta, got {beta}")
        self.prepare()
        assert self._runner is not None
        return self._runner.score(graph, chosen, seed, learning_rate or self.options.learning_rate)


def _facts(options: Options) -> dict[str, str]:
    data = "scikit-learn's digits, 8 x 8 grey values, 10 classes"
    if options.dataset == "cifar10":
        data = "CIFAR-10, 32 x 32 colours, 10 classes"
    network = options.searched
    noise = f"{100 * options.label_noise:g} % of the training labels are replaced by another class"
    optimiser = "AdamW" if options.optimiser == "adamw" else f"SGD, momentum {options.momentum:g}"
    short = min(options.short_epochs, options.epochs) * options.steps_per_epoch
    facts = {
        "model": network.words + f", hidden width {options.hidden * network.width}" * (network.width > 0),
        "data": f"{data}; {options.train_items} training items",
        "label noise": noise if options.label_noise else "none",
        "training": (
            f"{options.epochs * options.steps_per_epoch} optimiser steps (passes over the items: {options.epochs}, batches of "
            f"{options.batch_size} items); a first selection uses {short} steps"
        ),
        "optimiser": f"{optimiser}, peak learning rate {options.learning_rate:g}, cosine to zero",
    }
    return facts | ({"augmentation": "random crops after padding by 4, mirror images"} if options.augment else {})


def _rungs(options: Options) -> dict[str, Rung]:
    per_step, beside = SECONDS[options.dataset]
    short = min(options.short_epochs, options.epochs) * options.steps_per_epoch
    full = options.epochs * options.steps_per_epoch

    def rung(name: str, steps: int, note: str, held_out: bool = False) -> Rung:
        cost = (options.held_out if held_out else options.searched).cost
        return Rung(name, steps, round(beside + cost * per_step * steps, 2), held_out=held_out, note=note)

    rungs = (
        rung("short", short, "the whole schedule in fewer passes"),
        rung("full", full, "the whole training"),
        rung("held_out", full, "another network, items that the search never saw", held_out=True),
    )
    return {r.name: r for r in rungs}
