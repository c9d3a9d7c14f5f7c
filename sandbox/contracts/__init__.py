"""What a loss of each kind takes and gives, one record per contract, and how parameter names are matched to its arguments.

No torch, no graphs: everything else in the sandbox builds on this room.
"""
