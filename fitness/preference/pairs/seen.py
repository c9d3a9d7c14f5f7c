"""The data as the model sees it: the pairs as tokens, counts of pairs left out, and findings on the others."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from datasets import Dataset, Features, List, Value
from transformers import AutoConfig, GenerationConfig, PreTrainedTokenizerBase

from fitness.preference.options import LEAST_PART, Options, Sampling, evaluations
from fitness.preference.pairs.check import PairCheck
from fitness.preference.pairs.limits import vocabulary
from fitness.preference.pairs.rules import RULES, PairOutcome
from fitness.preference.pairs.sources import Pairs
from fitness.preference.pairs.tokens import Row
from fitness.score import EvaluationFailed, bad_data
from fitness.training.batches import TOKEN_COLUMNS
from sandbox.verdicts.visible import visible

PROMPT_COLUMN = "prompt_json"  # the raw prompt as JSON, for judges
WORKING = (FOUND, APART) = ("found", "kept_apart")
"""Temporary columns, removed from the parts."""
TEST_PARTS = ("search", "held_out")
WORTH_NOTING = 0.01
"""Least fraction of the pairs for which a finding that is only noted is reported."""
LONGEST_EXAMPLE = 80  # characters


@dataclass(frozen=True)
class PairFinding:
    """A rule that applies to some of the kept pairs."""

    rule: str
    count: int  # kept pairs to which the rule applies
    total: int  # kept pairs
    example: str  # from the first of these pairs
    prompt: str  # of that pair

    @property
    def refused(self) -> bool:
        """Whether the run must be refused."""
        rule = RULES[self.rule]
        return rule.outcome is PairOutcome.REFUSED and self.count > rule.above * self.total

    def __str__(self) -> str:
        return f"{self._which} (first {self.example}, prompt {self.prompt}): {RULES[self.rule].remedy}"

    @property
    def _which(self) -> str:
        return f"{self.count} of {self.total} pairs: {RULES[self.rule].words}"


@dataclass(frozen=True)
class Seen:
    """The tokenised data and the results of the checks."""

    parts: Mapping[str, Dataset]  # token columns and PROMPT_COLUMN, without the pairs that are left out
    left_out: Mapping[str, int]  # number of pairs left out, by rule
    findings: tuple[PairFinding, ...]

    def results_json(self) -> str:
        """Counts of pairs left out and findings as JSON, to be stored with the parts."""
        return json.dumps({"left_out": dict(self.left_out), "findings": [asdict(finding) for finding in self.findings]})

    @classmethod
    def from_results(cls, parts: Mapping[str, Dataset], results: str) -> "Seen":
        """The inverse of `results_json`, with the stored parts."""
        read = json.loads(results)
        return cls(parts, read["left_out"], tuple(PairFinding(**finding) for finding in read["findings"]))

    def check(self, options: Options) -> None:
        """Raises EvaluationFailed("bad_data") if a finding refuses the run, or if too few pairs are left."""
        if refused := [str(finding) for finding in self.findings if finding.refused]:
            raise EvaluationFailed("bad_data", "\n".join(refused))
        out = [f"{count} with {RULES[rule].words}" for rule, count in self.left_out.items()]
        besides = f" and the pairs left out ({', '.join(out)})" if out else ""
        remedies = [RULES[rule].remedy for rule in self.left_out]
        if not any(map(len, self.parts.values())):
            raise bad_data(f"every pair is left out of the data: {', '.join(out)}", ", ".join(remedies))
        for name in TEST_PARTS:
            if (left := len(self.parts[name])) < LEAST_PART:
                raise bad_data(
                    f"{left} test pairs for {name} remain after the split into parts{besides}, at least {LEAST_PART} are needed",
                    ", ".join([*remedies, "or give more test pairs"]),
                )
        left = len(self.parts["train"])
        if left < options.pairs:
            fewer = f"set fitness.pairs to {left} or less" if left >= options.batch_size else "or give more data"
            raise bad_data(
                f"{left} training pairs remain after the test pairs{besides}, but fitness.pairs={options.pairs}",
                ", ".join([*remedies, fewer]) if left < options.batch_size else fewer,
            )


def pair_check(options: Options, tokenizer: PreTrainedTokenizerBase) -> PairCheck:
    """The PairCheck for the options' model. Raises EvaluationFailed("bad_data") if padding or end token have no embedding."""
    where: dict[str, Any] = {"revision": options.model_revision, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(options.model, **where)
    try:
        stops = GenerationConfig.from_pretrained(options.model, revision=options.model_revision).eos_token_id
    except OSError:  # a model may have no generation configuration
        stops = config.get_text_config().eos_token_id
    known = vocabulary(config.to_dict())
    for name in ("pad", "eos"):
        id = getattr(tokenizer, f"{name}_token_id")
        if known is not None and id >= known:
            raise bad_data(
                f"the tokenizer's {name}_token {tokenizer.convert_ids_to_tokens(id)!r} is token {id}, the model's embedding has "
                f"{known}",
                RULES["beyond the embedding"].remedy,
            )
    ends = {tokenizer.eos_token_id, *(stops if isinstance(stops, list) else [stops])} - {None}
    return PairCheck(tokenizer, options, vocabulary=known, stops=frozenset(ends))


def look(pairs: Pairs, check: PairCheck) -> Seen:
    """Tokenise all pairs, leave out those without a preference, and apply the rules to the others."""
    features = Features(
        {column: List(Value("int64")) for column in TOKEN_COLUMNS}
        | {c: Value("string") for c in (PROMPT_COLUMN, *WORKING)}
    )
    parts, left_out, found = {}, Counter[str](), dict[str, list[tuple[str, str]]]()
    elsewhere: set[str] = set()
    in_two = "pair in two parts" if check.options.split_by == "pair" else "in two parts"
    for name in ("held_out", "search", "train"):  # a prompt or pair in two parts stays in the first of these
        part = pairs.parts[name]
        looked = part.map(
            _seen, fn_kwargs={"check": check}, remove_columns=part.column_names, features=features,
            load_from_cache_file=False, desc=f"Tokenizing {name}",
        )  # fmt: skip
        kept, apart = [], list(looked[APART])
        for number, (text, prompt) in enumerate(zip(looked[FOUND], looked[PROMPT_COLUMN], strict=True)):
            rules: dict[str, str] = json.loads(text)
            out = next((rule for rule in rules if RULES[rule].outcome is PairOutcome.LEFT_OUT), None)
            if out is None and apart[number] in elsewhere:
                out = in_two
            if out:
                left_out[out] += 1
                continue
            kept.append(number)
            for rule, example in rules.items():
                found.setdefault(rule, []).append((example, prompt))
        elsewhere |= {apart[number] for number in kept} - {""}
        looked = looked.remove_columns(list(WORKING))
        parts[name] = looked if len(kept) == len(looked) else looked.select(kept)
    total = sum(map(len, parts.values()))
    findings = (
        PairFinding(rule, len(cases), total, quoted(cases[0][0]), shortened(cases[0][1]))
        for rule, cases in found.items()
    )
    order = list(RULES)
    return Seen(
        {name: parts[name] for name in pairs.parts},
        {rule: left_out[rule] for rule in order if rule in left_out},
        tuple(sorted(findings, key=lambda finding: order.index(finding.rule))),
    )


def _seen(row: Row, check: PairCheck) -> dict[str, Any]:
    tokens, found = check(row)
    ids = dict(zip(TOKEN_COLUMNS, (tokens.prompt, tokens.chosen, tokens.rejected), strict=True))
    columns = {PROMPT_COLUMN: json.dumps(row["prompt"]), FOUND: json.dumps(found), APART: check.kept_apart(tokens)}
    return ids | columns


def notes_on(pairs: Pairs, seen: Seen, options: Options) -> tuple[str, ...]:
    """Notes on the data for the user, before a run: pairs left out, columns not read, and findings."""
    left_out = Counter(pairs.left_out) + Counter({RULES[rule].words: count for rule, count in seen.left_out.items()})
    lines = [f"Left out of the data: {count} with {why}." for why, count in left_out.items()]
    lines += pairs.remarks
    if pairs.unread:
        lines.append(f"Columns that are not read: {', '.join(map(visible, pairs.unread))}.")
    for finding in seen.findings:
        if matters(finding.rule, options) and finding.count >= math.ceil(WORTH_NOTING * finding.total):
            lines += [] if finding.refused else [f"In the data, {finding}."]
    if sampled := _sampled(options):
        room = options.max_length - max(evaluation.max_new_tokens for evaluation in sampled)
        prompts = [len(ids) for part in TEST_PARTS for ids in seen.parts[part]["prompt_ids"]]
        if cut := sum(length > room for length in prompts):
            lines.append(
                f"{cut} of {len(prompts)} test prompts are cut to their last {room} tokens before sampling: fitness.max_length "
                "minus max_new_tokens."
            )
    return tuple(lines)


def matters(rule: str, options: Options) -> bool:
    """Whether a rule is reported: without sampled answers, it does not matter where a model stops."""
    return rule != "does not stop" or bool(_sampled(options))


def _sampled(options: Options) -> list[Sampling]:
    return [evaluation for evaluation in evaluations(options) if isinstance(evaluation, Sampling)]


def quoted(text: str, longest: int = LONGEST_EXAMPLE) -> str:
    """A text on one line in quotation marks; beyond `longest` characters its middle is left out."""
    return json.dumps(shortened(text, longest), ensure_ascii=False)


def shortened(text: str, longest: int = LONGEST_EXAMPLE) -> str:
    """A text; beyond `longest` characters its middle is left out."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"
