"""Endpoints that speak OpenAI's chat completions: how they are reached, and what their answers and errors say.

Proposer and judge read the same endpoints, so both use this package. It knows nothing of losses or of verdicts.
"""
