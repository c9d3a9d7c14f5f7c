"""One training: TRL's trainer with a searched loss, its batches, and the curves that are recorded."""
