"""`evopo autopsy`: trains a loss of a run without each of its parts, and looks for the smallest loss that cannot be told from it.

It proposes nothing and changes nothing that the search reads. What the trainings show is computed in `analysis.claims.autopsy`.
"""
