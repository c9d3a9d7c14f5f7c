"""Pictures of a run, drawn with matplotlib (imported on first use).

Draws only; what may be claimed is decided in `analysis.claims`.
"""
