"""Main loop of a campaign and its steps: propose, vet, train, record, select.

Modules here do not write to a terminal or read a command line.
"""
