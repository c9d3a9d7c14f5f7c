"""The records of the operations, by family. Each module ends with the tuple `RECORDS`; a new operation is one more entry of it.

A family's helper (`_function`, `_loss`) holds the defaults of the family; an entry may override them.
No functions of a whole graph here.
"""
