"""Writes docs/losses.md from the known losses, their descriptors and notes. With --check, only compares."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import torch  # noqa: E402
from link_glossary import linked  # noqa: E402

from sandbox import known  # noqa: E402
from sandbox.numeric import run  # noqa: E402
from sandbox.numeric.measure.descriptors import DESCRIPTORS  # noqa: E402

PAGE = ROOT / "docs" / "losses.md"
HEAD = """\
# The known losses

Published losses are part of `sandbox`: as source with title, paper and equation, and as graphs. Every task uses them as
baselines and as the first parents of a search. They also test the sandbox: each of them must be accepted. This page is
written by `scripts/write_loss_docs.py`.

    from sandbox import known
    known.names("preference")            # ('aot', 'aot_unpaired', ...)
    known.load("lrml").equation          # title, paper, equation, source, contract, and TRL's name where it has one
    known.graph("lrml")                  # the verified graph, ready for sandbox.execute.compile_loss

The sources are data. They are never imported: vetting one traces it in the jail like any candidate, and a test compares
the graph next to each source with the result of tracing. To add a loss, write `sandbox/known/CONTRACT/NAME.py` with the same
header, run `python scripts/make_known_graphs.py` and this page's script, and add its formula to
`tests/sandbox/known/test_known.py`.

Notation: rho is the margin of the policy's log-ratio over the reference's, in nats; x = beta rho; u = x/0.05; h_w and h_l are the
log-ratios of policy and reference for the chosen and the rejected completion, so rho = h_w - h_l; softplus(z) = log(1 + e^z).
In classification, z are the logits, y is the label and p = softmax(z).

Notes are findings of the numeric tests that do not refuse the loss; `evopo-sandbox explain SBX326` explains one. Tails: how the
loss grows towards x = -30 and x = 30. Score: of 10, by GPT-4, in the search of Lu et al. 2024 at beta 0.05, one training each. It
belongs to the loss of its row and to no other version of it.
"""
VERSIONS = """\
## Two versions of AQL and PFL

The search of Lu et al. 2024 scored what the language model wrote, at beta 0.05. For a sweep over beta on IMDb the authors rewrote
five losses, so that no constant depends on beta. At beta 0.05 both forms of DBAQL, AQFL and LRML are the same loss. For AQL and PFL
they are not:

loss | what differs | slope in x at rho = 0, beta 0.05 | published scores of it
--- | --- | --- | ---
`aql_found` | the gate reads x | -0.670 | MT-Bench, AlpacaEval 2.0, TL;DR
`aql_repository` | the gate reads u, so it is 20 times as sharp | +0.753 | IMDb
`pfl_found` | both branches read u | -5, or -40 in the branch of unlikely chosen completions | MT-Bench, AlpacaEval 2.0, TL;DR
`pfl_repository` | both branches read x, as in the paper's table 1 | -0.25, or -2 | IMDb

The last column follows appendix E, which says that the rewritten code was used for IMDb. The published IMDb figures of PFL do not
change with beta, as if the code that was run had no beta. `pfl_found` is `pfl_repository` at 20 times beta. At other betas than
0.05, `aql_found` and `pfl_found` are the paper's equations 11 to 14 and 29. Equation 13 takes the mean outside the sigmoid, and the
code that was scored takes it inside; so does `aql_found`.

Archives made before there were two names have `aql` and `pfl`, which were the repository's versions. `known.load` and
`known.graph` still accept these names, and such a run continues. A new run or comparison that names them is refused, and the error
gives both names.

## Other losses of the published search

Appendix G of the paper lists a run of the search with the score of each loss. Those that are no other known loss are in the table:
`adaptive_margin`, `annealed_logistic_hinge`, `squared_logistic`, `focal_logistic`, `label_smoothed_logistic` and `margin_decay`.
Their gates read rho, as in the listing. The others that were scored are left out:

loss | why | MT-Bench
--- | --- | ---
logistic margin, 0.1 nats | `dpo` within 0.1 % at beta 0.05 | 7.709
combined logistic and hinge, scaled combined | sums of `dpo` and `slic` | 7.738, 7.856
temperature-scaled logistic | `dpo` at half of beta | 7.869
decaying weights | weighs a pair by its place in the batch; the sandbox refuses this (SBX249) | 7.872
reinforced margin | `bco_pair` times 0.997 at beta 0.05 | 7.525
certainty-scaled logistic | no gradient while policy and reference are equal; the sandbox refuses this (SBX329) | 7.331
"""
SHAPE = """\
## Descriptors: the shape of a loss

Measured for every accepted loss along its margin. Some of them are the axes of the quality-diversity grid.

key | meaning
--- | ---
"""
IDENTITY = """\
## When two losses are the same

What counts is what training sees: the gradient of the policy. Adding a constant, or a function of the reference, to a loss
changes nothing.

- The **canonical hash** (`g1:...`) is equal for graphs that simplification rules turn into each other: order of terms,
  `-logsigmoid(x)` for `softplus(-x)`, a constant moved out of a product. Rules that would change values at the ends of the
  range are not used.
- The **fingerprint** contains gradients in float64 at fixed test inputs. Two losses whose fingerprints nearly agree are candidates
  for being the same. Its `key` is equal for equal functions however they are written, up to rounding;
  `scale_key` also for positive multiples of a loss, and `beta_key` also if only beta is rescaled: tables, `show` and exports
  say so after the name of such a loss, and it is not a discovery. Fingerprints of different formats (`f1:`) are never compared.
- `sandbox.identity.compare.same_loss(a, b)` confirms this on newly drawn inputs, and says where two losses differ.
  `evopo-sandbox diff A B` prints it.

Two losses are **the same** if their policy gradients g and h agree at every newly drawn input:
|g - h| <= 1e-4 max(|g|, |h|, t), where t is the mean size of the gradients of ordinary pairs, |beta rho| <= 3, in the
same batch. A training step sums over a batch, so a difference that is small compared with t has no effect.
`(rho + 1e-5 - 1/(2 beta))^2` is IPO; DPO with 0.5 % label smoothing, or with 1.02
times the margin, is not DPO. If the loss or a gradient is not finite for one and finite for the other, they are different. The
inputs are: batches in which policy and reference are equal, as at the start of training; ties of every pattern among the four
log-probabilities; betas from 0.005 to 5, including those in the two losses themselves; margins up to |beta rho| = 100;
log-probabilities near 0 and near -2000; batches of up to 512 items if a loss may depend on its batch (256 for the most
costly losses); both sides of the edges in either loss, and its constants as values of each log-probability, log-ratio and margin.

A kink or a jump may differ in position by 0.001 nats, or by 0.0001 in beta rho if that is more: `relu(1 - x)` and
`clamp(1 - x, min=0)` are the same loss.
`relu(-x)` and `clamp(-x, min=0)` are different: at rho = 0, where training starts, torch gives the first the slope 0 and
the second the slope -1. The first never leaves the start and is refused (SBX329).
"""


def page() -> str:
    """The whole page."""
    torch.set_num_threads(1)
    parts = [HEAD]
    for contract, title in (("preference", "Preference losses"), ("classification", "Classification losses")):
        parts.append(f"## {title}\n\n{_table(contract)}")
    parts.append(VERSIONS)
    parts.append(SHAPE + "".join(f"`{k}` | {_escaped(v)}\n" for k, v in DESCRIPTORS.items()))
    parts.append(IDENTITY)
    return linked("\n".join(parts), "docs/losses.md", "glossary.md")


def _table(contract: str) -> str:
    losses = [known.load(name) for name in known.names(contract)]
    heads = ["name", "loss", "equation", "tails, convex", "notes"] + ["score"] * any(loss.scores for loss in losses)
    rows = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for loss in losses:
        report = run.run(known.graph(loss.name), seed=0)
        trl = f", `{loss.trl}` in TRL" if loss.trl else ""
        what = f"{loss.title}{trl}. {loss.paper}"
        notes = ", ".join(f.rule for f in report.findings) or "none"
        cells = [f"`{loss.name}`", _escaped(what), f"`{_escaped(loss.equation)}`", _shape(report.descriptors), notes]
        rows.append(" | ".join((*cells, loss.scores or "none")[: len(heads)]))
    return "\n".join(rows) + "\n"


def _shape(found: Mapping[str, Any]) -> str:
    return f"{found['left_tail']}, {found['right_tail']}; {'convex' if found['convex'] else 'not convex'}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Writes or compares the page. Returns the exit status: 1 if --check finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is out of date")
    check = parser.parse_args().check
    wanted = page()
    if check and (not PAGE.exists() or PAGE.read_text("utf-8") != wanted):
        print("docs/losses.md is out of date: run python scripts/write_loss_docs.py", file=sys.stderr)
        return 1
    if not check:
        PAGE.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
