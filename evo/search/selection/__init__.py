"""Selection of operator, island, parents and temperature: pure functions of a snapshot of the population.

Nothing here reads the archive or makes a request.
"""
