"""From a request (operator, parents) to the text of a reply and from that text to a loss: prompts, language models, the built-in
proposer.
"""
