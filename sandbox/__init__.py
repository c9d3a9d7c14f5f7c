"""The sandbox: vets loss code that somebody else, most often a language model, wrote.

    from sandbox import vet
    verdict = vet(source)          # accepted, refused or partial, with findings

Threat model
============
Who attacks: the author of the source, by its text alone. A model that was asked for a loss and is confused, was trained on
hostile code, or follows an instruction hidden in a prompt. The author knows this code, and may try any number of times.

What each layer guarantees, and what the next one does if it fails:

1. *Trusted process*: looks at size, UTF-8 and NUL bytes, nothing more. It does not parse the source.
2. *Static layer*, in the jailed child: syntax, names and attributes are on an allow-list (`child/allowlist`), imports are
   resolved to facades, and RestrictedPython compiles the rest with a guard around every operator, call, attribute, subscript
   and loop. Guarantees the vocabulary.
3. *Tracer*, in the same child: the function runs once on symbols; facades hold nothing but names, every step is counted, every
   size bounded. Guarantees bounded cost, and that what comes out is a list of allowed operations.
4. *Jail* (`child/jail`): the child has no files, network, processes or signals, two seconds and 256 MB. Guarantees
   that a hole in 2 or
   3 gains nothing but that child, which holds no secret: it descends from a fresh interpreter with an empty environment, and has
   one descriptor, to answer on.
5. *Verifier*, in the trusted process again: the answer is not believed. A graph is checked for schema, size, types and symbolic
   shapes before anything is computed (`VerifiedGraph`: there is none without the check); a refusal is a rule code with a place and
   bounded numbers, and all words are ours.
6. *Numeric tests* on the graph, at inputs drawn afresh: the verdict does not depend on the honesty of the child.
7. *Interpreter* (`execute`): training runs the verified graph from a table. Candidate Python is never executed outside the jail.

Fails closed: each guarantee of the jail can come from several layers, and where none supplies one, source is not read.

Not covered: bugs of the kernel, of CPython's parser below seccomp, and of torch's kernels on verified shapes; side channels; a
loss that is well formed and bad (it is scored, badly); somebody who can write to the installed package. docs/sandbox.md tells
how each claim is tested.
"""

import sandbox.vetting.path  # noqa: F401  (first: it keeps modules of the current directory out of the imports below)

# isort: split
from sandbox.graph.loss_graph import LossGraph, VerifiedGraph
from sandbox.graph.nodes import GraphError
from sandbox.verdicts.unavailable import SandboxUnavailable
from sandbox.verdicts.verdict import Finding, Fingerprint, Severity, Verdict, VerdictStatus
from sandbox.vetting.pool import PoolClosed, VetPool, WorkerFailed
from sandbox.vetting.vet import Vetter, vet, vet_graph

__all__ = [
    "Finding",
    "Fingerprint",
    "GraphError",
    "LossGraph",
    "PoolClosed",
    "SandboxUnavailable",
    "Severity",
    "Verdict",
    "VerdictStatus",
    "VerifiedGraph",
    "VetPool",
    "Vetter",
    "WorkerFailed",
    "vet",
    "vet_graph",
]
