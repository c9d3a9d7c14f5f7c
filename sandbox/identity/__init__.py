"""When two losses are one: canonical form, fingerprint, comparison at fresh points, and the nearest published loss.

Nothing here refuses a loss; the engine decides what a duplicate means.
"""
