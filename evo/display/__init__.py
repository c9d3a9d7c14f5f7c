"""Text output: the progress view of a running campaign, its log, and the output of `status`, `ls`, `show` and similar commands.

Modules here read an archive and the state of a run, and change neither.
"""
