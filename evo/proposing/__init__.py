"""Proposers: from a request (operator, parents) to the text of a reply, and from the text to a loss.

Prompts, language models, and the built-in proposer.
Nothing here vets, trains or records, and a reply is never executed.
"""
