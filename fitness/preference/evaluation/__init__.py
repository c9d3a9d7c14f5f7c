"""How a trained policy is scored: its answers, and the evaluators on them."""
