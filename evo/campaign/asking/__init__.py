"""Requests of a campaign to its proposers: their recording, and when a proposer is rested or the session ends.

How a request is sent and its reply read belongs to `evo.proposing`; which parents it shows belongs to `evo.search`.
"""
