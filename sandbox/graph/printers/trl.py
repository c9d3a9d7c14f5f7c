"""VerifiedGraph -> a Python file that trains with the loss through TRL and does not import this project. No torch."""

from __future__ import annotations

from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.printers.names import function_name
from sandbox.graph.printers.python import to_python

TRL = "1.16"
"""The release that the printed trainer was written for and tested with."""

_TRAINER = '''

class {camel}Trainer(DPOTrainer):
    """TRL's DPOTrainer, training with `{name}`. `beta` is that of the DPOConfig; `loss_type` is not used.

    Written for trl {trl}. With DPOConfig(precompute_ref_log_probs=True) the reference is computed once instead of twice per step.
    """

    preference_loss = staticmethod({name})

    def _compute_loss(self, model, inputs, return_outputs):
        seen = []

        def recorded(**kwargs):
            seen.append(model(**kwargs))
            return seen[-1]

        # TRL's own loss is dropped; its metrics are kept.
        stock = super()._compute_loss(recorded, inputs, return_outputs)
        tokens = inputs["completion_mask"].size(1) - 1
        policy = seen[0].log_probs[:, -tokens:].sum(dim=1).float().chunk(2)
        if "ref_chosen_logps" in inputs:
            reference = inputs["ref_chosen_logps"].float(), inputs["ref_rejected_logps"].float()
        else:
            reference = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
        loss = self.preference_loss(*policy, *reference, self.beta).mean()
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * seen[0].aux_loss
        return (loss, stock[1]) if return_outputs else loss
'''


def to_trl(graph: VerifiedGraph, name: str = "loss") -> str:
    """A whole file: the loss as a function, and a DPOTrainer that trains with it. `name` may be any text.

    Raises ValueError for a loss whose contract DPOTrainer does not support.
    """
    if not contract_named(graph.contract).trl:
        raise ValueError(f"TRL's DPOTrainer takes preference losses, this is a {graph.contract} loss")
    name = function_name(name)
    source = to_python(graph, name)
    camel = "".join(part.capitalize() for part in name.split("_"))
    imports, definition = source.split("\n\n\n", 1) if source.startswith("import") else ("", source)
    head = "\n".join(filter(None, [imports, "from trl import DPOTrainer"]))
    return f"{head}\n\n\n{definition}{_TRAINER.format(camel=camel, name=name, trl=TRL)}"
