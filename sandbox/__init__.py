"""The sandbox: vets untrusted loss code, most often written by a language model.

    from sandbox import vet
    verdict = vet(source)          # accepted, refused or partial, with findings

Threat model
============
Attacker: the author of the source, whose only means is its text. Typically a model that makes mistakes, was trained on hostile
code, or follows an instruction hidden in a prompt. The attacker knows this code and may try any number of times.

Layers, what each guarantees, and what limits the damage if it fails:

1. *Trusted process*: checks size, UTF-8 and NUL bytes, nothing more. It does not parse the source.
2. *Static layer*, in the jailed child: syntax, names and attributes are on an allow-list (`child/allowlist`), imports are
   resolved to facades, and RestrictedPython compiles the rest with a guard around every operator, call, attribute, subscript
   and loop. Guarantees that the code uses the allow-listed vocabulary only.
3. *Tracer*, in the same child: the function runs once on symbols. Facades hold names only, every step is counted, and every
   size is bounded. Guarantees bounded cost, and a result that is a list of allowed operations.
4. *Jail* (`child/jail`): the child has no files, network, processes or signals, and at most two seconds and 256 MB. Guarantees
   that an exploit of layer 2 or 3 controls this one child and nothing else. The child holds no secret: it is forked from a fresh
   interpreter with an empty environment, and has one descriptor, for its answer.
5. *Verifier*, in the trusted process again: the child's answer is untrusted. A graph is checked for schema, size, types and
   symbolic shapes before anything is computed (only this check creates a `VerifiedGraph`). A refusal is a rule code with a source
   location and bounded numbers; the message is composed in the trusted process.
6. *Numeric tests* on the graph, at newly drawn inputs: the verdict does not depend on the honesty of the child.
7. *Interpreter* (`execute`): training runs the verified graph from a table. Candidate Python is never executed outside the jail.

Fails closed: each guarantee of the jail can come from several layers. If no layer supplies a guarantee, the source is not read.

Not covered: bugs of the kernel, of CPython's parser below seccomp, and of torch's kernels on verified shapes; side channels; a
well-formed loss that trains badly (it is trained and gets a low score); an attacker who can write to the installed package.
docs/sandbox.md describes how each claim is tested.
"""

import sandbox.vetting.path  # noqa: F401  (first, so that the imports below cannot load modules of the current directory)

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
