"""Worker processes: each loads a task's model and data once, then scores graphs one after another."""
