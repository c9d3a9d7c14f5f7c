"""Output of an analysis: one text encoder per format, atomic writing of files, error classes."""
