"""Output of `evopo data`: the data as a model sees it, with decoded tokens, without loading the model's weights."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import datasets
import transformers
from datasets import Dataset

from fitness.preference.options import Options
from fitness.preference.pairs.check import PairCheck
from fitness.preference.pairs.rules import RULES
from fitness.preference.pairs.seen import Seen, look, matters, notes_on, pair_check, quoted
from fitness.preference.pairs.sources import Faults, Pairs, load_pairs
from fitness.preference.pairs.tokens import Row
from fitness.preference.policies import check_context, load_tokenizer

LONGEST_TEXT = 400  # most characters of a text that is shown
WIDTHS = (10, 7, 17, 9, 21, 9, 6)


def show_data(options: Options, say: Callable[[str], None], shown: int, *, whole: bool) -> None:
    """Print through `say`: the sizes of the parts, notes and findings, and the first `shown` training pairs, in full if `whole`.

    Raises EvaluationFailed("bad_data") if a run would, after the output.
    """
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    faults = Faults()
    conversational = False
    with faults:
        pairs = load_pairs(options)
        conversational = pairs.conversational
    with faults:
        tokenizer = load_tokenizer(options, conversational=conversational)
    with faults:
        check_context(options)
    faults.report(None)
    form = "conversations, rendered by the chat template" if pairs.conversational else "strings"
    say(f"Data {options.data}: {form}; tokens as {options.model} has them.")
    check = pair_check(options, tokenizer)
    seen = look(pairs, check)
    for line in _described(options, pairs, seen):
        say(line)
    for number, row in enumerate(pairs.train.select(range(min(shown, len(pairs.train)))), start=1):
        say("")
        for line in _pair(number, row, check, None if whole else LONGEST_TEXT):
            say(line)
    say("")
    seen.check(options)
    say("Nothing was found in the data that would prevent a run.")


def _described(options: Options, pairs: Pairs, seen: Seen) -> list[str]:
    return [
        "",
        _line("", "", "prompts, tokens", "", "completions, tokens", "", ""),
        _line("part", "pairs", "median", "longest", "median", "longest", "cut"),
        *(_lengths(name, part, options.max_length) for name, part in seen.parts.items()),
        f"cut: completions that extend beyond fitness.max_length={options.max_length}, including their prompt",
        "",
        *notes_on(pairs, seen, options),
    ]


def _lengths(name: str, part: Dataset, max_length: int) -> str:
    prompts = [len(ids) for ids in part["prompt_ids"]]
    sides = [[len(ids) for ids in part[f"{side}_ids"]] for side in ("chosen", "rejected")]
    completions = [length for side in sides for length in side]
    cut = sum(p + length > max_length for side in sides for p, length in zip(prompts, side, strict=True))
    share = f"{cut / len(completions):.0%}" if completions else "-"
    return _line(name, len(part), *_middle_and_longest(prompts), *_middle_and_longest(completions), share)


def _middle_and_longest(lengths: Sequence[int]) -> tuple[str, str]:
    return (f"{median(lengths):g}", str(max(lengths))) if lengths else ("-", "-")


def _line(*cells: object) -> str:
    first, *others = (str(cell) for cell in cells)
    return (first.ljust(WIDTHS[0]) + "".join(map(str.rjust, others, WIDTHS[1:]))).rstrip()


def _pair(number: int, row: Row, check: PairCheck, longest: int | None) -> list[str]:
    tokens, found = check(row)
    found = {rule: example for rule, example in found.items() if matters(rule, check.options)}
    lines = [f"Training pair {number}"]
    if "not rendered" in found:
        return [*lines, _found(found, longest)]
    prompt = [*tokens.before, *tokens.prompt]
    lines.append(_text("prompt", prompt, len(tokens.before), len(prompt), check, longest))
    for side, ids, kept in zip(
        ("chosen", "rejected"), (tokens.chosen, tokens.rejected), tokens.within(check.options.max_length), strict=True
    ):
        lines.append(_text(side, ids, 0, len(kept), check, longest))
    return [*lines, _found(found, longest)] if found else lines


def _text(name: str, ids: Sequence[int], start: int, end: int, check: PairCheck, longest: int | None) -> str:
    """A line with the decoded tokens from `start` to `end`, and the numbers of tokens cut before and after."""
    text = check.text(ids[start:end])
    before = f", the first {start} are cut" if start else ""
    after = f", the last {len(ids) - end} are cut" if end < len(ids) else ""
    return f"  {name} ({len(ids)} tokens{before}{after}): {quoted(text, longest or len(text))}"


def _found(found: Mapping[str, str], longest: int | None) -> str:
    said = (
        RULES[rule].words + (f" ({quoted(example, longest or len(example))})" if example else "")
        for rule, example in found.items()
    )
    return f"  found: {'; '.join(said)}"
