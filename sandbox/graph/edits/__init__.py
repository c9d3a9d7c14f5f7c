"""Edits of a verified graph: its constants and removable parts, and the graph with some of them changed or removed.

Every result is verified again. Nothing here trains, vets or measures a loss, and nothing needs torch.
"""
