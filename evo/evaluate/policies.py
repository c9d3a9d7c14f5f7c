"""Policies of an evaluation: trained once, saved to a folder that is named after the content of the training, and recorded."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.wording import count, duration
from archive.query import Reader
from archive.records import EventKind
from archive.store import Archive
from evo.campaign.training import TaskUnusable, ready
from evo.evaluate.studies.study import SavedPolicy
from evo.evaluate.subjects import Subjects
from evo.session.session import worker_pool, workers_for
from evo.session.signals import interruptible
from fitness.preference.pairs.digests import path_digest
from fitness.task import EvaluationFailed, FailureReason
from fitness.workers.pool import WorkerPool
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.canonical import canonical_hash

FOLDER = "policies"
REFERENCE = "reference"
"""Name of the untrained policy."""
OF_THE_LOSS = (FailureReason.DIVERGED, FailureReason.COLLAPSED, FailureReason.UNSUPPORTED_LOSS)
"""Failures that would occur again, so they are recorded."""


@dataclass(frozen=True)
class Recipe:
    """A policy that an evaluation needs: to be trained, or a folder that exists."""

    name: str
    kind: str
    """As in `archive.judgements.PolicyRow`."""
    digest: str
    loss: str | None = None
    seed: int | None = None
    graph: VerifiedGraph | None = None
    folder: Path | None = None
    """Of a model that is trained already."""
    description: Mapping[str, Any] = field(default_factory=dict)


def recipes(subjects: Subjects) -> tuple[Recipe, ...]:
    """All policies of an evaluation: the reference, those of each loss and seed, and the models that were named."""
    found = []
    if subjects.reference is not None:
        found.append(Recipe(REFERENCE, REFERENCE, _of_folder(subjects.reference), folder=subjects.reference))
    if subjects.losses:
        info = subjects.info
        task = {"task": info.identity, "rung": [subjects.rung, info.rung(subjects.rung).steps]}
        if subjects.reference is None:
            found.append(
                Recipe(REFERENCE, REFERENCE, _digest({"task": info.identity}), description=dict(info.identity))
            )
        for loss in subjects.losses:
            for number, seed in enumerate(subjects.seeds, start=1):
                trained = {**task, "seed": seed, "beta": info.beta, "learning_rate": info.learning_rate}
                digest = _digest({**trained, "graph": loss.graph.to_json()})
                described = {**trained, "graph": canonical_hash(loss.graph)}
                name = f"{loss.name}, seed {number}"
                found.append(Recipe(name, "trained", digest, loss.name, seed, loss.graph, description=described))
    names = [path.resolve().name for path in subjects.models]
    for path, name in zip(subjects.models, names, strict=True):
        shown = str(path) if names.count(name) > 1 else name
        found.append(Recipe(shown, "model", _of_folder(path), folder=path))
    unique: dict[str, Recipe] = {}
    for recipe in found:
        unique.setdefault(recipe.digest, recipe)
    return tuple(unique.values())


def folder_of(recipe: Recipe, directory: Path) -> Path:
    """The folder with the weights of a policy in the directory of an evaluation."""
    return recipe.folder or directory / FOLDER / recipe.digest


class Policies:
    """The policies of an evaluation in its directory, and its archive."""

    def __init__(self, directory: Path, archive: Archive, reader: Reader) -> None:
        self._folder = directory / FOLDER
        self._archive, self._reader = archive, reader

    def recorded(self) -> dict[str, int]:
        """Ids of the recorded policies by digest."""
        return {row.digest: row.id for row in self._reader.policies()}

    def failed(self) -> dict[str, str]:
        """Why trainings failed, by digest."""
        events = [
            e.payload for e in self._reader.events(kind=EventKind.POLICY_FAILED) if isinstance(e.payload, Mapping)
        ]
        return {str(payload.get("digest")): str(payload.get("reason")) for payload in events}

    def folder(self, recipe: Recipe) -> Path:
        """The folder with the weights of a policy."""
        return folder_of(recipe, self._folder.parent)

    def untrained(self, wanted: Collection[Recipe]) -> list[Recipe]:
        """Those that have no folder yet, and whose training did not fail."""
        failed = self.failed()
        return [r for r in wanted if r.digest not in failed and not self.folder(r).is_dir()]

    def record(self, wanted: Collection[Recipe]) -> tuple[SavedPolicy, ...]:
        """Record the policies whose folders are there. Returns them, with their folders."""
        there = [recipe for recipe in wanted if self.folder(recipe).is_dir()]
        for recipe in there:
            self._archive.judgements.add_policy(
                recipe.name, recipe.kind, recipe.digest, loss=recipe.loss, seed=recipe.seed, recipe=recipe.description
            )
        rows = {row.digest: row for row in self._reader.policies()}
        return tuple(SavedPolicy(rows[recipe.digest], self.folder(recipe)) for recipe in there)

    def train(
        self, subjects: Subjects, wanted: Sequence[Recipe], say: Callable[[str], None], check: Callable[[], None]
    ) -> None:
        """Train and save these policies, the untrained one first, which `check` may refuse.

        Raises TaskUnusable, and what `check` raises; policies that were finished stay.
        """
        trained = sum(recipe.graph is not None for recipe in wanted)
        seconds = trained * subjects.info.rung(subjects.rung).estimated_seconds / workers_for(subjects.config)
        say(
            f"{count(trained, 'training')} on the task {subjects.info.name}, rung {subjects.rung}, about {duration(seconds)}; "
            f"policies are saved in {self._folder}."
        )
        self._folder.mkdir(exist_ok=True)
        for left in self._folder.glob(".*.part"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        asyncio.run(interruptible(self._all(subjects, wanted, worker_pool(subjects.config), say, check)))

    async def _all(
        self, subjects: Subjects, wanted: Sequence[Recipe], workers: WorkerPool, say: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:  # fmt: skip
        async with workers as pool:
            await ready(pool, say)
            trouble: list[str] = []

            async def one(recipe: Recipe) -> None:
                part = self._folder / f".{recipe.digest}.part"
                try:
                    await pool.save_policy(recipe.graph, subjects.rung, recipe.seed or 0, part)
                except EvaluationFailed as failure:
                    shutil.rmtree(part, ignore_errors=True)
                    if failure.reason is FailureReason.BAD_DATA:
                        raise TaskUnusable(failure.detail) from None
                    say(f"{recipe.name}: training failed: {failure}")
                    if failure.reason in OF_THE_LOSS and recipe.loss is not None and recipe.seed is not None:
                        self._archive.judgements.fail_policy(
                            recipe.loss, recipe.seed, recipe.digest, failure.reason.value, failure.detail
                        )
                    else:
                        trouble.append(f"{recipe.name}: {failure}")
                else:
                    part.rename(self._folder / recipe.digest)
                    say(f"{recipe.name}: saved")

            try:
                for recipe in wanted:
                    if recipe.graph is None:
                        await one(recipe)
                        check()
                async with asyncio.TaskGroup() as group:  # a failure cancels the others before the workers are stopped
                    for recipe in wanted:
                        if recipe.graph is not None:
                            group.create_task(one(recipe))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
            if trouble:
                raise TaskUnusable(f"{trouble[0]}; the same command trains it again")


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _of_folder(path: Path) -> str:
    return f"files-{path_digest(path, hidden=False)}"
