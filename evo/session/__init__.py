"""One session of a campaign: checks before the start, setup and shutdown of its parts, and the dry run."""
