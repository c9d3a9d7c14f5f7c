"""The campaign's main loop and its steps: propose, vet, train, record, select.

Nothing here draws on a terminal or reads a command line.
"""
