"""Networks of the classification task: what is trained, by name. No data, no training.

`registry` names them and needs no torch; each of the other modules builds the networks of one family.
"""
