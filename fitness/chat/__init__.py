"""Client for endpoints of OpenAI's chat completions: requests, replies, errors, proxies, prices.

The proposer and the judge share this package. It contains nothing about losses or judgements.
"""
