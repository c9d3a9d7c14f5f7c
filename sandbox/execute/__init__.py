"""Computation of graphs with torch: the interpreter for training, and the evaluation of many batches at once.

The tests of a loss are in `sandbox.numeric`. No source text is compiled or executed.
"""

from sandbox.execute.interpreter import compile_loss

__all__ = ["compile_loss"]
