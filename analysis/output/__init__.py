"""How text and files leave an analysis: one encoder per format, files written whole or not at all, errors in words."""
