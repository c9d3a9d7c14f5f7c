"""Worker processes that hold a task's model and data and score one graph after the other."""
