"""The classification task: losses f(logits, targets) with noisy labels, the paper's first case study.

Nothing here is shared with other tasks.
"""
