"""Answers of saved policies to questions, turn by turn: the interface of a generator, and one module for each engine.

A policy is a folder that transformers loads. No code of a policy's folder is run, and no loss is known here.
"""
