"""Client for language models behind OpenAI-compatible endpoints, and the format of its requests.

Prompts are written in `evo.proposing.prompting`, replies parsed in `evo.proposing.reply`: not here.
"""
