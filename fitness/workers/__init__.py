"""Worker processes: each loads a task's model and data once, then scores graphs one after another.

Nothing here knows a particular task, or decides what is trained.
"""
