"""The embedded preference task: a tiny language model that learns to write positive movie reviews."""
