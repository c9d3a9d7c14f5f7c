"""The judge, a language model that compares two answers: its instructions, the parsing of its replies, and its costs.

Requests are sent by `fitness.chat`; nothing here loads a model.
"""
