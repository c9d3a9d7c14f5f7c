"""Random programs of aliases, views and changes in place: what the tracer accepts means what eager torch computes."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hostile_more import ARGUMENTS

from sandbox.child.trace.tracer import trace
from sandbox.contracts.contract import PREFERENCE
from sandbox.execute.interpreter import compile_loss
from sandbox.graph.loss_graph import LossGraph

PROGRAMS = 120
"""Programs per seed."""
START = (
    "a = (policy_chosen_logps - reference_chosen_logps) * 1.0",
    "b = (policy_rejected_logps - reference_rejected_logps) * 1.0",
    "c, d = a + b, a * 0.5",
    "L, D = [c * 1.0], {'k': b * 1.0}",
)
END = "return a + 2 * b + 3 * c + 5 * d + 7 * L[0] + 11 * D['k'] + 13 * L[-1]"
MADE = (
    "{a} * 1.5", "{a}", "{a}.detach()", "{a}.clone()", "{a}.view(-1)", "{a}.unsqueeze(0)[0]", "{a}.float()", "{a}.contiguous()",
    "torch.stack([{a}, {b}])[0]", "torch.stack([{a}, {b}]).T[:, 1]", "torch.cat([{a}, {b}]).chunk(2)[1]", "{a}.repeat(1)",
    "torch.tile({a}, (1,))", "{a}.permute(0)", "torch.hstack([{a}])", "torch.einsum('i->i', {a})", "torch.vstack([{a}, {b}])[1]",
    "{a}.unsqueeze(1).repeat(1, 2)[:, 0]", "{a}.expand_as({b})", "{a}.type_as({b})", "L[0]", "D['k']", "(lambda t: t)({a})",
    "{a}.reshape(-1)", "{a}[:]", "{a}.to({b})", "torch.movedim({a}, 0, 0)", "torch.relu({a})", "torch.zeros_like({a})",
)  # fmt: skip
CHANGES = (
    "{a}.mul_(0.5)", "{a}.add_({b})", "{a}.sub_({b}, alpha=0.5)", "{a}.clamp_(-2.0, 2.0)", "{a}.neg_()", "{a} += 1.0", "{a} *= {b}",
    "{a}.masked_fill_({b} > 0, 1.0)", "{a}.add_(1.0).mul_(0.5)", "{a}[{b} > 0] = 0.25", "L[0].mul_(2.0)", "L.append({a})",
    "L[0] = {a}", "D['k'] = {a}", "D['k'].add_(0.5)", "{a} = {b}.mul_(0.9)", "{a}.lerp_({b}, 0.25)", "L[-1].sub_(0.1)",
)  # fmt: skip


def _program(rng: random.Random) -> str:
    lines = [*START]
    for _ in range(rng.randint(3, 7)):
        names = {"a": rng.choice("abcd"), "b": rng.choice("abcd")}
        made = rng.random() < 0.5
        lines.append(
            (rng.choice("abcd") + " = " if made else "") + rng.choice(MADE if made else CHANGES).format(**names)
        )
    return f"def loss({ARGUMENTS}):\n" + "".join(f"    {line}\n" for line in (*lines, END))


@pytest.mark.parametrize("seed", range(5))
def test_random_programs_that_change_tensors_mean_what_torch_computes(seed: int) -> None:
    rng, drawn, refused, compared = random.Random(seed), torch.Generator().manual_seed(seed), 0, 0
    for source in (_program(rng) for _ in range(PROGRAMS)):
        answer = trace(source, PREFERENCE)
        if answer.graph is None or answer.violations:
            refused += 1
            continue
        scope: dict[str, Any] = {"torch": torch}
        exec(source, scope)
        values = [-6 * torch.rand(5, generator=drawn) for _ in range(4)]
        mine, theirs = ([t.clone().requires_grad_() for t in values] for _ in range(2))
        found, wanted = compile_loss(LossGraph.from_json(answer.graph))(*mine, 0.1), scope["loss"](*theirs, 0.1)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        try:
            eager = torch.autograd.grad(wanted.sum(), theirs, materialize_grads=True)
        except (
            RuntimeError
        ) as error:  # autograd needs a value that was changed; the traced loss has the gradient of the formula
            assert "modified by an inplace operation" in str(error)
            continue
        torch.testing.assert_close(
            torch.autograd.grad(found.sum(), mine, materialize_grads=True), eager, rtol=1e-4, atol=1e-5
        )
        compared += 1
    assert compared > 30 and refused > 10
