"""One training: TRL's trainer with a candidate loss, its batches, and the training curves that are recorded.

Loads no model or data, and evaluates no policy: the tasks do.
"""
