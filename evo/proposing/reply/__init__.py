"""Parsing of a model's reply: thought, name and source code, or the reason why there are none.

Works on text only: executes nothing and does not judge the loss.
"""
