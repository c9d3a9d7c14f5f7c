"""Identity of losses: canonical hash, fingerprint, comparison of two losses at fresh points, and the nearest known loss.

This package says whether two losses are the same. What happens to a duplicate is decided by the search engine, not here.
"""
