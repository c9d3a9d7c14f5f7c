"""Answers of policies to the questions of benchmarks: what is wanted, what is recorded, and the writing of the rest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from analysis.wording import count
from archive.judgements import AnswerRow
from archive.query import Reader
from archive.store import Archive
from evo.evaluate.studies.study import SavedPolicy
from evo.search.rng import derive
from fitness.benchmarks.generation.engines import load_generator
from fitness.benchmarks.generation.generator import GenerationOptions
from fitness.benchmarks.protocol import Benchmark, Question, Sampling

OUTPUTS = "outputs"
"""Kind of the policy that wrote the answers of a benchmark's own data."""


@dataclass(frozen=True)
class Wanted:
    """An answer that each policy has to write."""

    question: Question
    sampling: Sampling
    sampling_seed: int
    key: str
    """Hash of the question's text and of how it is answered."""


def wanted_of(benchmark: Benchmark, questions: Sequence[Question], options: GenerationOptions) -> list[Wanted]:
    """The answers that a benchmark asks for, in the order of its questions."""
    how = options.model_dump(mode="json", include={"engine", "plain", "max_new_tokens"})
    if options.chat_template is not None:
        how["chat_template"] = options.chat_template.read_text("utf-8")
    found = []
    for question in questions:
        sampling = benchmark.sampling_of(question)
        key = key_of(question.id, question.system, question.turns, asdict(sampling), how)
        found += [Wanted(question, sampling, number, key) for number in range(sampling.samples)]
    return found


def key_of(*content: object) -> str:
    """A hash of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


class Answers:
    """The recorded answers of an evaluation; without an archive they can only be looked up."""

    def __init__(self, archive: Archive | None, reader: Reader) -> None:
        self._archive = archive
        self._known: dict[tuple[int, str, str, int], AnswerRow] = {}
        self._add(reader.answers())

    def of(self, policy: int, benchmark: str, wanted: Wanted) -> AnswerRow | None:
        """A policy's recorded answer; None if there is none."""
        return self._known.get((policy, benchmark, wanted.key, wanted.sampling_seed))

    def missing(self, policy: int, benchmark: str, wanted: Collection[Wanted]) -> list[Wanted]:
        """What a policy has not answered yet."""
        return [one for one in wanted if self.of(policy, benchmark, one) is None]

    def write(
        self,
        policy: SavedPolicy,
        wanted: Mapping[str, Sequence[Wanted]],
        options: GenerationOptions,
        say: Callable[[str], None],
    ) -> None:
        """Have a policy answer what it has not answered yet, by benchmark. Each batch is recorded when it is written.

        Raises BenchmarkError if the policy cannot be loaded, has no chat template, or does not fit into memory.
        """
        left = {name: self.missing(policy.row.id, name, all_of_it) for name, all_of_it in wanted.items()}
        if not any(left.values()):
            return
        parts = [f"{count(len(missing), 'answer')} to {name}" for name, missing in left.items() if missing]
        say(f"{policy.row.name}: {' and '.join(parts)}")
        generator, cut = load_generator(policy.folder, options), 0
        try:
            for name, all_of_it in wanted.items():
                # Batches are those of all questions, so that an answer does not depend on what was recorded before.
                for batch in _batches(all_of_it, options.batch):
                    if not self.missing(policy.row.id, name, batch):
                        continue
                    first = batch[0]
                    seed = derive(first.sampling_seed, "answers", name, first.question.id)
                    written = generator.write([one.question for one in batch], first.sampling, seed)
                    cut += sum(answer.cut for answer in written)
                    self._record(
                        AnswerRow(
                            0, policy.row.id, name, one.question.id, one.question.category, answer.turns, one.sampling_seed,
                            answer.tokens, key=one.key,
                        )
                        for one, answer in zip(batch, written, strict=True)
                        if self.of(policy.row.id, name, one) is None
                    )  # fmt: skip
        finally:
            generator.close()
        if cut:
            say(f"{policy.row.name}: {count(cut, 'prompt')} did not fit into the context and lost the beginning")

    def record_own(self, benchmark: Benchmark, wanted: Sequence[Wanted]) -> int | None:
        """Record the answers of a benchmark's own data; returns the id of their policy, None if it has none."""
        own: str | None = getattr(benchmark, "own", None)
        referenced = [one for one in wanted if one.sampling_seed == 0 and one.question.references]
        if own is None or not referenced or self._archive is None:
            return None
        digest = key_of(
            benchmark.name, own, [(q.id, q.references[0], dict(q.facts)) for q in (one.question for one in referenced)]
        )
        policy = self._archive.judgements.add_policy(own, OUTPUTS, f"outputs-{digest}")
        self._record(
            AnswerRow(
                0, policy, benchmark.name, one.question.id, one.question.category, one.question.references[:1], 0, 0,
                dict(one.question.facts), one.key,
            )
            for one in self.missing(policy, benchmark.name, referenced)
        )  # fmt: skip
        return policy

    def _record(self, rows: Iterable[AnswerRow]) -> None:
        new = list(rows)
        if new and self._archive is not None:
            ids = self._archive.judgements.add_answers(new)
            self._add(replace(row, id=id) for row, id in zip(new, ids, strict=True))

    def _add(self, rows: Iterable[AnswerRow]) -> None:
        self._known |= {(row.policy_id, row.benchmark, row.key, row.sampling_seed): row for row in rows}


def _batches(wanted: Sequence[Wanted], size: int) -> Iterator[list[Wanted]]:
    """Batches of one sampling and one sampling seed each."""
    alike: dict[tuple[Sampling, int], list[Wanted]] = {}
    for one in wanted:
        alike.setdefault((one.sampling, one.sampling_seed), []).append(one)
    for group in alike.values():
        for start in range(0, len(group), size):
            yield group[start : start + size]
