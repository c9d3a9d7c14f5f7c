"""What vetting says of a candidate: verdicts and findings as data, the rules behind them, and their words.

Nothing is decided here, and no torch is imported: whoever reads a verdict needs this room alone.
"""
