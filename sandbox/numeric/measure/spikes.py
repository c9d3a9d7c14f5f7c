"""How much larger than those around it a gradient may be."""

from typing import Final

LARGEST_SPIKE: Final = 1e6
"""Largest ratio of a pair's gradient to that of the same pair one nat away. With clipping, such a pair scales the whole step
down, and the other pairs have no effect. Without clipping it stays in Adam's mean square, at 0.999 a step, for
ln(1e12 / 1e3) / 1e-3 = 20,000 steps, which is more than a preference training has."""
