"""The text of a model's reply, read: thought, name and source code, or the reason why there are none.

Text only: nothing is executed, and nothing is decided about the loss.
"""
