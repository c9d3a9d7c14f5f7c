#!/usr/bin/env python3
"""The whole paper in small (`make paper`): every part on the embedded task, on a CPU, with nothing to download and nothing paid.

    case study     a search for classification losses on digits, and what it found on other networks (evopo run, evopo transfer)
    search         a campaign of the built-in proposer on the embedded task (evopo run)
    baselines      the losses of the paper's tables under one tuning budget (evopo baselines)
    judgements     these losses and the campaign's finalists on mt-bench, alpaca-eval and tldr (evopo evaluate)
    imdb           reward against KL over a grid of beta (evopo evaluate --on imdb)
    landscapes     the paper's figures 6, 9 and 10 (evopo landscape)
    page           the published tables beside these results (evopo paper)

The judge is a stand-in on this machine: it counts words of praise and blame. Its figures say nothing about chat quality. Each step
is a command that continues where it was interrupted, so the same call of this script does too; a finished step only prints.

    python scripts/paper.py --folder runs/paper
    python scripts/paper.py --only page
    python scripts/paper.py --quick --folder runs/paper-quick
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from loopback_judge import LoopbackJudge, Seen
from paper_data import Files, write_data

from analysis.benchmarks.published import LOSSES, PUBLIC_DPO
from analysis.paper.pictures import FIGURE_6, FIGURES_9_10, REACH
from fitness.sentiment.reviews import BAD, BLAME, DISLIKING, GOOD, LIKING, PRAISE

ROOT = Path(__file__).resolve().parent.parent
JUDGE = "stand-in-word-list"
PORT = 8790
"""Of the judge: a fixed one, since the endpoint is part of an evaluation's settings."""
LONGEST = 20
"""Tokens of an answer: two turns with their questions fit into the embedded model's context of 64."""
IMDB = ("dpo", "slic", "lrml")
PAPER = tuple(name for name in LOSSES if name != PUBLIC_DPO)
"""The known losses of the paper's tables."""


@dataclass(frozen=True)
class Sizes:
    """How much is trained; everything else is the same."""

    proposals: int
    """Of either search."""
    finalist_seeds: int
    transfer_seeds: int
    betas: str
    fresh_seeds: int
    judged_seeds: int
    settings: tuple[str, ...] = ()
    """Of the embedded task."""
    losses: tuple[str, ...] = PAPER


FULL = Sizes(12, 5, 6, "0.05,0.25,0.5,1", 4, 2)
QUICK = Sizes(
    2, 2, 2, "0.05,0.5", 2, 1, ("fitness.pairs=32", "fitness.epochs=1", "fitness.short_steps=1", "fitness.samples=32"),
    ("dpo", "slic", "lrml"),
)  # fmt: skip
"""Every part within a few minutes; its figures are noise."""


@dataclass(frozen=True)
class Step:
    """One command."""

    name: str
    arguments: tuple[str, ...]
    judged: bool = False
    """Whether it asks the judge."""


def steps(folder: Path, files: Files, sizes: Sizes) -> list[Step]:
    """All commands, in order."""

    def at(name: str) -> str:
        return str(folder / name)

    def figure(name: str, losses: Sequence[str], *further: str) -> Step:
        return Step(name, ("landscape", *losses, "--axis", "beta-rho", *further, "--out", at(f"{name}.svg")))

    def search(name: str, *settings: str) -> Step:
        final = ("ladder.finalists=2", f"ladder.finalist_seeds={sizes.finalist_seeds}")
        given = (
            f"name={name}",
            "proposer=builtin",
            f"budget.proposals={sizes.proposals}",
            "workers=2",
            *final,
            *settings,
        )
        return Step(name, ("run", "--dir", at(name), *_set(*given)))

    return [
        search("case-study", "task=classification"),
        Step("transfer", (
            "transfer", at("case-study"), "--known", "--task", "classification", "--dir", at("transfer"), "--seeds",
            str(sizes.transfer_seeds), "--workers", "2", "--setting", "mlp:held_out_network=mlp",
            "--setting", "deep:held_out_network=deep", "--setting", "cnn:held_out_network=cnn,learning_rate=0.01",
        )),
        search("search", *sizes.settings),
        Step("baselines", (
            "baselines", "--task", "sentiment", "--dir", at("baselines"), "--betas", sizes.betas, "--tuning-seeds", "1", "--seeds",
            str(sizes.fresh_seeds), "--workers", "2", *(part for name in sizes.losses for part in ("--loss", name)),
            *_set(*sizes.settings),
        )),
        Step("judgements", (
            "evaluate", at("search"), *sizes.losses, "--on", "mt-bench", "--on", "alpaca-eval", "--on", "tldr", "--seeds",
            str(sizes.judged_seeds), "--dir", at("judgements"), *_set(
                f"judge.base_url=http://127.0.0.1:{PORT}/v1", f"judge.model={JUDGE}", f"mt-bench.questions={files.questions}",
                f"mt-bench.references={files.references}", f"alpaca-eval.instructions={files.instructions}",
                f"tldr.posts={files.comparisons}", "generation.plain=true", f"generation.max_new_tokens={LONGEST}", "workers=2",
            ),
        ), judged=True),
        Step("imdb", (
            "evaluate", *IMDB, "--on", "imdb", "--config", "recipes/imdb-embedded.yaml", "--seeds", "1", "--dir", at("imdb"),
            *_set("imdb.sampling_seeds=2", *sizes.settings),
        )),
        figure("figure-6", FIGURE_6, "--reach", f"{REACH:g}"),
        figure("figures-9-and-10", FIGURES_9_10),
        Step("page", (
            "paper", *map(at, ("search", "baselines", "judgements", "imdb", "transfer")), "--pairs", at("search"), "--out",
            at("paper.html"),
        )),
    ]  # fmt: skip


def _set(*pairs: str) -> Iterator[str]:
    for pair in pairs:
        yield from ("--set", pair)


def praise(seen: Seen, answer: str) -> float:
    """The stand-in judge's opinion of an answer, in [0, 1]: the share of praise among its words of praise and blame."""
    words = answer.split()
    good, bad = (
        sum(word in single for word in words) + 2 * sum(phrase in answer for phrase in phrases)
        for single, phrases in (((*GOOD, *LIKING), PRAISE), ((*BAD, *DISLIKING), BLAME))
    )
    return (good + 1) / (good + bad + 2)


@contextmanager
def judge() -> Iterator[None]:
    """The stand-in judge while the block runs. Ends the script if its port is in use."""
    try:
        server = LoopbackJudge(port=PORT, opinion=praise)
    except OSError as error:
        sys.exit(
            f"the judge cannot listen on port {PORT} ({error.strerror}): end the other program, perhaps this script"
        )
    with server:
        server.models = (JUDGE,)
        yield


def run(step: Step) -> float:
    """Runs a command and returns its seconds. Ends the script with the command's exit code if it fails."""
    print(f"\n=== {step.name}: evopo {' '.join(step.arguments)}\n", flush=True)
    began = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with judge() if step.judged else nullcontext():
        done = subprocess.run([sys.executable, "-m", "evo", *step.arguments], cwd=ROOT, env=environment, check=False)
    if done.returncode:
        print(
            f"the step {step.name} ended with exit code {done.returncode}; the same command continues", file=sys.stderr
        )
        sys.exit(done.returncode)
    return time.monotonic() - began


def main() -> None:
    """Runs all steps, or those that are named, and prints what each took."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/paper"), help="where everything is written")
    parser.add_argument(
        "--quick", action="store_true", help="every part with the fewest trainings: its figures are noise"
    )
    parser.add_argument("--only", action="append", metavar="STEP", help="only this step; may be given several times")
    options = parser.parse_args()
    folder = options.folder.resolve()
    plan = steps(folder, write_data(folder / "data"), QUICK if options.quick else FULL)
    names = [step.name for step in plan]
    if unknown := [name for name in options.only or () if name not in names]:
        parser.error(f"--only: expected one of {', '.join(names)}, got {unknown[0]!r}")
    taken: dict[str, float] = {}
    for step in plan:
        if not options.only or step.name in options.only:
            taken[step.name] = run(step)
    print("\n" + "\n".join(f"{name:<18}{seconds:7.0f} s" for name, seconds in taken.items()))
    print(f"{'all':<18}{sum(taken.values()):7.0f} s\n\nPage: {folder / 'paper.html'}")


if __name__ == "__main__":
    main()
