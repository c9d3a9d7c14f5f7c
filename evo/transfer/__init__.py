"""`evopo transfer`: trains the same losses in several settings of a task. It proposes nothing and tunes nothing.

What the trainings show is computed in `analysis.claims.transfer`.
"""
