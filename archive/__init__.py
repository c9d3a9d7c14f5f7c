"""The record of a run: every proposal, candidate, verdict, evaluation and event, in one SQLite file.

`Archive` (archive.store) is its one writer, `Reader` (archive.query) reads it at any time.
"""
