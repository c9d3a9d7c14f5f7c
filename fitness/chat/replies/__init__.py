"""Parsing of endpoints' responses in all their dialects: answers, streams, usage, reasoning and errors.

Requests are sent elsewhere (`fitness.chat.client`).
"""
