"""Inputs of the numeric tests, the measurements at them, and helpers that turn measurements into findings and descriptors.

Decides nothing: the checks do.
"""
