"""Graphs computed with torch: the interpreter that training uses, and the evaluation of many batches at once.

Nothing here decides whether a loss is good: that is `sandbox.numeric`. No source text is compiled or executed.
"""

from sandbox.execute.interpreter import compile_loss

__all__ = ["compile_loss"]
