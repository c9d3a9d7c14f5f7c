"""Inputs of the numeric tests, measurements taken on them once, and how a measurement becomes a finding or a descriptor."""
