"""Command line of `evopo`: commands and options, and checks of where evopo's own packages are imported from.

No logic of a campaign: a command calls one function of another package and prints its result.
"""
