"""What a task is: its protocol, the registry of tasks by name, and what is wrong with a task's options in words."""
