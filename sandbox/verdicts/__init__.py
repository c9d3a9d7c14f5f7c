"""Verdicts: results of vetting as plain data, the catalogue of rules, and their texts.

Nothing is decided here, and torch is not imported. A program that only reads verdicts needs no other part of the sandbox.
"""
