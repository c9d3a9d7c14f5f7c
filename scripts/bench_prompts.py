#!/usr/bin/env python3
"""Benchmark of prompts: share of a model's replies that become a new loss that trains, as one table; `--json` prints one object.

    python scripts/bench_prompts.py --endpoint http://127.0.0.1:8000/v1 --model NAME --replies 40 --out bench_prompts

Each arm is a campaign on `sentiment` with short trainings, with the same model, seed, sandbox and temperature:

    paper    the paper's form (Lu et al. 2024): one conversation that starts with losses and their fitness; errors and fitness go
             back into it. Its content in our own words; the endpoint enforces the JSON object as in `json`
    json     evopo's prompts, one JSON object that the endpoint enforces
    lines    the same with the code as a list of lines
    fenced   evopo's prompts, a code block, nothing enforced
    small    the settings for small models, `recipes/small-model.yaml`: short prompts, and the form of the reply that it names
    small-json, small-lines, small-fenced    the same with another form

A reply is of use if the sandbox accepts its loss, the loss is no duplicate of any earlier one of its arm (the known losses
included), and a training with it raises the mean margin of unseen pairs by at least a tenth of what the baseline's does.

    first try     useful among the replies that repair nothing
    after repair  of these, those that are useful or whose repair is
    all           useful among all replies, repairs included

In the paper's form, a reply after an error is the repair of the one before it. The interval is Wilson's, 95 %.

With `--runs N`, an arm is N campaigns with seeds of their own, which share its replies and run at the same time: a server with as
many slots decodes their replies together, and the shares do not hang on one conversation or one start. A loss is new if its own
campaign does not have it yet; how many different ones an arm found in all is told too.

Results are the archives in `--out`. The same command continues an interrupted benchmark; nothing is requested twice.
`--first-token` also measures the seconds to a reply of one token, with a prompt whose beginning the server has in its cache and
with one that it has not seen.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench_table import Figure, show

from archive.query import Reader
from archive.records import CandidateRow, EvaluationState, ProposalRow, Role
from evo.proposing.reply.reply import ReplyFormat
from evo.search.operators import role_of
from sandbox.verdicts.verdict import VerdictStatus

ROOT = Path(__file__).resolve().parent.parent
SMALL = "small"
ARMS = ("paper", *ReplyFormat, SMALL, *(f"{SMALL}-{form}" for form in ReplyFormat))
RECIPE = ROOT / "recipes" / "small-model.yaml"
LEAST_MARGIN = 0.1
"""Margin of a useful loss as a fraction of the baseline's, in the same training."""
TRAINING = (
    "fitness.epochs=1", "fitness.samples=64", "ladder.finalists=0", "ladder.finalist_seeds=1", "ladder.contenders=0",
    "ladder.baseline_betas=[]",
    "fitness.world=classic", "pictures=false", "workers=1", "search.islands=1", "budget.tokens=unlimited", "timeout_seconds=7200",
)  # fmt: skip

PAPER = {
    "system.j2": """\
You are a machine learning researcher who tests loss functions for reinforcement learning from human feedback. You propose one
loss function at a time. It is trained, and you are told the score, which should be as high as possible.

Reply in JSON with exactly these keys, in this order:
- "thought": your reasoning about the results so far and the design of the next loss
- "name": a short name
- "code": the code of the function as one string

The code is called with these arguments, each a tensor of shape (batch,) unless it is stated otherwise:

def my_loss({{ contract.signature }}):
    ...
    return losses

{% for argument in contract.arguments %}
- {{ argument.name }}: {{ argument.description }}
{% endfor %}

It returns one loss per pair, shape (batch,). torch and torch.nn.functional as F are available. Use as much creativity as you
like, and do not propose one of the losses that you were shown.
""",
    "chat_start.j2": """\
Here are some results that we have so far:

{% for parent in parents %}
{"code": {{ parent.code | json_text }}, "fitness": {{ parent.fitness if parent.fitness is not none else "null" }}}
{% endfor %}

Please generate the next one.
""",
    "chat_outcome.j2": """\
{% if turn.fitness is not none %}
Fitness: {{ turn.fitness }}.
{% elif turn.failure %}
Code not valid. Error:
{{ turn.failure | line(1200) }}
{% endif %}
Please generate the next one.
""",
}
"""Templates of the paper's form."""


@dataclass(frozen=True)
class Answered:
    """One reply of a campaign. `repairs`: the step whose loss it repairs, None if it repairs nothing."""

    step: int
    useful: bool
    repairs: int | None
    outcome: str
    digest: str = ""
    """Canonical hash of the loss, if the sandbox accepted it."""


def campaigns_of(arm: str, options: argparse.Namespace) -> list[tuple[Path, int, int]]:
    """The campaigns of an arm: folder, seed, number of replies."""
    if options.runs == 1:
        return [(options.out / arm, options.seed, options.replies)]
    each, more = divmod(options.replies, options.runs)
    return [(options.out / f"{arm}-{n + 1}", options.seed + n, each + (n < more)) for n in range(options.runs)]


def run_arm(arm: str, options: argparse.Namespace) -> None:
    """Run or continue the arm's campaigns, at the same time, until they have their replies."""
    campaigns = campaigns_of(arm, options)
    with ThreadPoolExecutor(len(campaigns)) as pool:
        for ended in [pool.submit(run_campaign, arm, *campaign, options) for campaign in campaigns]:
            ended.result()


def run_campaign(arm: str, folder: Path, seed: int, replies: int, options: argparse.Namespace) -> None:
    """Run or continue a campaign until it has its replies. A session that an error ends is continued while it gets on."""
    settings = [
        *TRAINING, f"llm.base_url={options.endpoint}", f"llm.model={options.model}", f"llm.temperatures=[{options.temperature}]",
        f"llm.max_tokens={options.max_tokens}", f"llm.timeout_seconds={options.timeout}", f"budget.proposals={replies}",
        f"seed={seed}", f"search.in_flight={options.in_flight}",
    ]  # fmt: skip
    form = ReplyFormat.JSON if arm == "paper" else arm.removeprefix(SMALL).removeprefix("-")
    settings += [f"llm.reply={form}"] if form else []
    if arm == "paper":
        templates = options.out / "paper_templates"
        templates.mkdir(parents=True, exist_ok=True)
        for name, text in PAPER.items():
            (templates / name).write_text(text, "utf-8")
        settings += ["search.mode=chat", f"prompt.templates={templates.resolve()}"]
    command = [
        sys.executable,
        "-m",
        "evo",
        "run",
        *([str(RECIPE)] if arm.startswith(SMALL) else []),
        "--dir",
        str(folder),
    ]
    command += [part for setting in settings for part in ("--set", setting)]
    while (before := answered_steps(folder)) < replies:
        code = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode
        if code not in (0, 1) or (code and answered_steps(folder) == before):
            raise SystemExit(f"the campaign in {folder} ended with exit code {code}; the same command continues")


def answered_steps(folder: Path) -> int:
    """Number of steps of a campaign with a reply."""
    if not (folder / "archive.db").exists():
        return 0
    with Reader.open(folder / "archive.db") as reader:
        return len({p.step for p in reader.proposals() if p.reply is not None})


def answers_in(folder: Path, *, chat: bool) -> list[Answered]:
    """The replies of the campaign in a folder."""
    with Reader.open(folder / "archive.db") as reader:
        return list(answers(reader, chat=chat))


def answers(reader: Reader, *, chat: bool) -> Iterator[Answered]:
    """The replies of a campaign in order."""
    born = {c.proposal_id: c for c in reader.candidates() if c.proposal_id is not None}
    step_of = {c.id: reader.proposal(c.proposal_id).step for c in born.values() if c.proposal_id is not None}
    needed = LEAST_MARGIN * _baseline_margin(reader)
    failed: int | None = None
    for proposal in reader.proposals():
        if proposal.reply is None:
            continue
        candidate = born.get(proposal.id)
        outcome = _outcome(reader, candidate, needed)
        repairs = failed if chat else _repaired(proposal, step_of)
        verdict = reader.verdict(candidate.id) if candidate else None
        digest = (verdict.hash if verdict else None) or ""
        yield Answered(proposal.step, outcome == "useful", repairs, outcome, digest)
        failed = proposal.step if outcome in ("no loss", "refused") else None


def _repaired(proposal: ProposalRow, step_of: Mapping[int, int]) -> int | None:
    """The step of the loss that a reply repairs; None if it is no repair."""
    if role_of(proposal.operator) is not Role.REPAIRED:
        return None
    parents = [parent["id"] for parent in proposal.references.get("parents", ())]
    return step_of.get(parents[0]) if parents else None


def _outcome(reader: Reader, candidate: CandidateRow | None, needed: float) -> str:
    if candidate is None:
        return "no loss"
    verdict = reader.verdict(candidate.id)
    if verdict is None or verdict.status != VerdictStatus.ACCEPTED:
        return "refused"
    if not verdict.is_new:
        return "duplicate"
    rows = reader.evaluations(candidate.id)
    if any(row.state is EvaluationState.FAILED for row in rows):
        return "training failed"
    scored = [row.metrics.get("margin", 0.0) for row in rows if row.state is EvaluationState.SCORED]
    return "useful" if scored and max(scored) >= needed else "does not train"


def _baseline_margin(reader: Reader) -> float:
    name = reader.run().baseline
    ids = [c.id for c in reader.candidates() if c.name == name and c.proposal_id is None]
    margins = [
        row.metrics.get("margin", 0.0) for id in ids for row in reader.evaluations(id) if row.fitness is not None
    ]
    return margins[0] if margins else 0.0


def figures_of(arm: str, campaigns: Sequence[Sequence[Answered]]) -> dict[str, Figure]:
    """The shares of an arm, with the outcomes of its replies as a note."""
    everything = [one for found in campaigns for one in found]
    tries = [one for one in everything if one.repairs is None]
    late = [
        one.useful or one.step in mended
        for found in campaigns
        for mended in [_mended(found, chat=arm == "paper")]
        for one in found
        if one.repairs is None
    ]
    counts = Counter(one.outcome for one in everything)
    different = len({one.digest for one in everything if one.useful})
    outcomes = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    return {
        f"{arm}, first try": _share([one.useful for one in tries]),
        f"{arm}, after repair": _share(late),
        f"{arm}, all": _share([one.useful for one in everything], f"{outcomes}; {different} different useful losses"),
    }


def _mended(found: Sequence[Answered], *, chat: bool) -> set[int | None]:
    """The steps of a campaign whose repair is useful. A conversation may need several replies for one repair."""
    return {
        one.repairs
        for one in found
        if one.repairs is not None and (one.useful or (chat and _chain_ends_well(one, found)))
    }


def _chain_ends_well(one: Answered, found: Sequence[Answered]) -> bool:
    """Whether a repair, or a repair of it, and so on, is useful."""
    following = next((other for other in found if other.repairs == one.step), None)
    return one.useful or (following is not None and _chain_ends_well(following, found))


def _share(useful: Sequence[bool], note: str = "") -> Figure:
    n, z = len(useful), 1.96
    if not n:
        return Figure(None, "share", note="no replies yet")
    share = sum(useful) / n
    middle, half = (
        (share + z * z / (2 * n)) / (1 + z * z / n),
        z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2),
    )
    low, high = (middle - half / (1 + z * z / n)), (middle + half / (1 + z * z / n))
    return Figure(share, "share", note=f"{sum(useful)} of {n}, {low:.2f} to {high:.2f}" + (f"; {note}" if note else ""))


def first_token(options: argparse.Namespace, prompts: Sequence[Sequence[Mapping[str, str]]]) -> dict[str, Figure]:
    """Seconds to a reply of one token: for a prompt whose beginning is new, and for one that continues a beginning just served."""
    import openai

    client = openai.OpenAI(base_url=options.endpoint, api_key="none", timeout=options.timeout, max_retries=0)

    def seconds(messages: Any) -> float:
        began = time.monotonic()
        client.chat.completions.create(model=options.model, messages=messages, max_tokens=1)
        return time.monotonic() - began

    client.models.list()  # opens the connection
    cold, warm = [], []
    for system, *others in prompts:
        new = {**system, "content": f"{uuid.uuid4()}\n{system['content']}"}
        cold.append(seconds([new, *others]))
        warm.append(seconds([new, {**others[0], "content": f"Something else.\n\n{others[0]['content']}"}]))
    return {
        "first token, new prompt": Figure(median(cold), "s", note=f"median of {len(cold)}"),
        "first token, beginning cached": Figure(
            median(warm), "s", note="the same system message, another user message"
        ),
    }


def prompts_of(folder: Path, count: int) -> list[list[dict[str, str]]]:
    """The first prompts of an arm."""
    with Reader.open(folder / "archive.db") as reader:
        rows = [p for p in reader.proposals() if p.reply is not None][:count]
        return [[{"role": role, "content": text} for role, text in reader.prompt(p.id) or ()] for p in rows]


def main() -> None:
    """Run the arms and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True, help="base URL of an OpenAI-compatible endpoint")
    parser.add_argument("--model", required=True)
    parser.add_argument("--replies", type=int, default=40, metavar="N", help="replies per arm (40)")
    parser.add_argument(
        "--runs", type=int, default=1, metavar="N", help="campaigns of an arm, which share its replies (1)"
    )
    parser.add_argument("--in-flight", type=int, default=1, metavar="N", help="proposals of a campaign in progress (1)")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["paper", *ReplyFormat])
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--max-tokens", type=int, default=1000, help="of a reply (1000)")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for a reply (600)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench_prompts"), help="folder of the results")
    parser.add_argument(
        "--first-token", type=int, default=0, metavar="N", help="measure the first token with N prompts"
    )
    parser.add_argument("--no-requests", action="store_true", help="only the table of what is there")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    figures: dict[str, Figure] = {}
    for arm in options.arms:
        if not options.no_requests:
            try:
                run_arm(arm, options)
            except KeyboardInterrupt:
                sys.exit("interrupted; the same command continues")
        folders = [folder for folder, _, _ in campaigns_of(arm, options) if answered_steps(folder)]
        found = [answers_in(folder, chat=arm == "paper") for folder in folders]
        if found:
            figures |= figures_of(arm, found)
            told = [
                {"campaign": folder.name, "step": a.step, "repairs": a.repairs, "outcome": a.outcome}
                for folder, each in zip(folders, found, strict=True)
                for a in each
            ]
            (options.out / f"{arm}.json").write_text(json.dumps(told, indent=1) + "\n")
    ours = next((arm for arm in options.arms if arm != "paper"), None)
    if options.first_token and ours and not options.no_requests:
        folder = campaigns_of(ours, options)[0][0]
        figures |= first_token(options, prompts_of(folder, options.first_token))
    show(figures, ("torch", "trl"), as_json=options.json)


if __name__ == "__main__":
    main()
