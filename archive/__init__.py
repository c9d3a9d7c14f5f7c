"""The archive of a run: every proposal, candidate, verdict, evaluation and event, in one SQLite file.

`Archive` (archive.store) writes it, one process at a time. `Reader` (archive.query) reads it at any time.
It trains, decides and displays nothing, and nothing here knows what a loss means.
"""
