"""Pictures of a run, drawn with matplotlib (imported on first use)."""
