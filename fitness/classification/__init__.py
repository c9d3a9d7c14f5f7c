"""The classification task: losses f(logits, targets) with noisy labels, the paper's first case study."""
