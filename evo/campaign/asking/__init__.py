"""Requests of a campaign to its proposers: their recording, and when a proposer is rested or the session ends.

Not here: how a request is sent and its reply read (`evo.proposing`), and which parents it shows (`evo.search`).
"""
