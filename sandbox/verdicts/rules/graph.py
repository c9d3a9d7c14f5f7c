"""SBX210 to SBX224: rules by which the verifier refuses a graph."""

from __future__ import annotations

from sandbox.verdicts.rules.examples import DPO, example, refuse
from sandbox.verdicts.rules.rule import Rule

GRAPH_RULES: tuple[Rule, ...] = (
    refuse(
        "SBX210",
        "not a loss graph",
        "The JSON does not follow the schema of a graph.",
        "Write the graph with LossGraph.to_json.",
        "",
    ),
    refuse(
        "SBX211",
        "unknown operation",
        "The graph names an operation that is not in the table of operations.",
        "Use an operation of the table (`evopo-sandbox rules --operations`).",
        "",
    ),
    refuse(
        "SBX212",
        "wrong operands or options of an operation",
        "An operation has the wrong number of operands, or an option out of its range.",
        "Use options within their range; see `evopo-sandbox rules --operations`.",
        example('return F.mse_loss(rho, rho * beta, reduction="none") + F.gelu(rho, approximate="no")'),
        message="an option in {text} is out of its range",
        line='y = F.gelu(rho, approximate="tanh")',
    ),
    refuse(
        "SBX213",
        "too many operations",
        "A loss takes at most 400 operations. Each costs time at every training step.",
        "Write a shorter formula.",
        example("for i in range(500):\n    rho = rho + 1.0\n" + DPO),
        message="the loss takes more than {1} operations",
        line="total = sum([torch.tanh(k * rho) for k in (0.5, 1.0, 2.0)])",
    ),
    refuse(
        "SBX214",
        "operands out of order",
        "A node may read earlier nodes only.",
        "Put each node after its operands.",
        "",
    ),
    refuse(
        "SBX215",
        "constant out of range",
        "Constants must be finite, integers at most 2**53, and an expression of constants alone must have a value.",
        "Use a smaller constant, and functions within their domain.",
        "",
    ),
    refuse(
        "SBX216",
        "too many constants",
        "A formula needs a few constants. A graph with as many constants as a look-up table needs is refused.",
        "Write the loss as a formula of the log-ratios with a few constants.",
        example(
            "weights = torch.tensor([i * 0.013 for i in range(64)])\n"
            "return -F.logsigmoid(beta * rho) * (rho.unsqueeze(1) > weights).float().mean(dim=1) * 0.5"
        ),
        line="losses = torch.where(rho > 0, a, b)",
    ),
    refuse(
        "SBX217",
        "loss that costs too much",
        "The CPU time for testing a loss is limited. Each operation counts with its measured cost: a quantile costs as much as "
        "nine additions, a logcumsumexp over all pairs as much as seventy.",
        "Compute each quantity once and use it again; take one quantile or sort instead of many; compare fewer pairs at once.",
        example(
            "q = [torch.stack([torch.quantile(rho, 0.004 * i + 0.0001 * j) for i in range(50)]).sum() for j in range(6)]\n"
            + DPO
            + " + 1e-6 * sum(q)"
        ),
        example(
            "spread = rho.quantile(0.9) - rho.quantile(0.1)\nreturn -F.logsigmoid(beta * rho / (1 + spread).detach())"
        ),
        line="spread = rho.quantile(0.9) - rho.quantile(0.1)",
    ),
    refuse(
        "SBX220",
        "shapes or types that do not fit",
        "The operation does not accept tensors of these shapes or types. The batch size B is unknown, so (B,) never fits (2,).",
        "Give the operands matching shapes with unsqueeze, reshape, or a reduction.",
        example("return rho + torch.ones(3)"),
        example("return -F.logsigmoid(beta * (rho + torch.ones(1)))"),
        line="gaps = x.unsqueeze(1) - x.unsqueeze(0)  # (batch, batch)",
    ),
    refuse(
        "SBX221",
        "number where a tensor is needed",
        "torch's functions take tensors. For Python numbers there is the module math.",
        "Use math.exp and the like on beta and constants, or wrap the number: torch.tensor(2.0).",
        example("return -F.logsigmoid(beta * rho) * torch.exp(beta)"),
        example("return -F.logsigmoid(beta * rho) * math.exp(beta)"),
        message="{text} needs tensors, and got a Python number",
        line="scale = math.exp(beta)",
    ),
    refuse(
        "SBX222",
        "tensor too large",
        "A value may hold at most 64 times the square of the batch, in at most four axes, and all values together are bounded.",
        "Reduce before you combine tensors; compare at most pairs of items.",
        example("y = rho\nfor i in range(200):\n    y = torch.cat([y, y])\n" + DPO + " + y.mean() * 0.0"),
        message="{text} makes a tensor that is too large",
        line="gaps = (x.unsqueeze(1) - x.unsqueeze(0)).mean(1)",
    ),
    refuse(
        "SBX223",
        "wrong shape of the loss",
        "The loss must be one number per item of the batch, shape (batch,).",
        "Return one loss per item: nothing that reduces the batch at the end, no extra axis. (A mean over the batch as the very "
        "last step is removed, so it is allowed. A sum grows with the batch: divide it by len(losses), or by the sum of its "
        "weights.)",
        example("return -F.logsigmoid(beta * rho).sum()"),
        line="return losses  # shape (batch,), no .sum(), no .mean()",
    ),
    refuse(
        "SBX224",
        "wrong type of the loss",
        "The loss must be a tensor of floating-point numbers.",
        "Return a float tensor. The .float() of a mask has no gradient, so use a smooth function instead.",
        example("return (rho > 0) + 0"),
        line="return torch.sigmoid(-beta * rho)",
    ),
)
