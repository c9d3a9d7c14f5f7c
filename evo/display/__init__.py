"""What a person sees: the view of a running campaign, its log, and what the looking commands print.

Reads an archive and a run's state; changes neither.
"""
