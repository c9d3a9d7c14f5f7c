"""What an exposed call records where it is more than one operation of the same name.

Each recipe does what torch's function does, expressed in `operations.OPERATIONS`, so that values and gradients stay those of
eager torch. Recipes take the recorder and the call's parameters by name. They raise Refusal; `SBX206` means that the arguments
do not fit, and `trace.facade` adds which call it was.
"""

from sandbox.child.trace.lowering import arithmetic, creation, losses, numbers, reductions, shaping, values
from sandbox.child.trace.lowering.plain import check_calls, record_plain
from sandbox.child.trace.lowering.registry import RECIPES, Recipe

__all__ = [
    "RECIPES", "Recipe", "arithmetic", "creation", "losses", "numbers", "record_plain", "reductions", "shaping", "values",
]  # fmt: skip

check_calls()
