"""One session of a campaign: checks before the start, setup and shutdown of its parts, and the dry run.

Steps of the search are not here but in `evo.campaign`.
"""
