"""The command line of `evopo`: its commands and options, and where its modules come from.

No logic of a campaign: a command calls one function of another room and prints what it gives.
"""
