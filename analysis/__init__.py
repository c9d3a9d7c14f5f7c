"""Analysis of recorded runs: statistics, claims, lineage, pictures, the report, and exports.

Reads an archive through a `Snapshot` and writes none. Nothing here searches, vets or trains.
"""
