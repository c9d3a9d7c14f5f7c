"""Tasks of lm-eval on trained policies: its options, running it in a process of its own, and reading its results.

What belongs here knows lm-eval. What was forgotten is computed elsewhere, from recorded scores: in `analysis.benchmarks.lm_eval`.
"""
