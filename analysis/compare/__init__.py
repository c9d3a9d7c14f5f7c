"""Comparison of search strategies by their recorded runs: curves over run seeds, tests, and what each strategy found.

A strategy is a configuration; its runs differ in their seed. Claims about single losses are made in `claims`, and tables about one
run in `report`. Nothing here knows the keys of a configuration by name, except those that say nothing about a strategy.
"""
