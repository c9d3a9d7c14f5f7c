"""Detection of look-up tables: losses that identify single pairs by their log-probabilities.

The reference's log-probabilities of a pair are constant during training, and the policy starts from them. A loss that behaves
differently at one such value than at neighbouring values can contain a table of known pairs. Its score is high on these pairs,
and says nothing about preference optimisation.

Principle. Log-ratios (policy over reference) are all zero at the start and do not identify a pair. The quantities that do
identify it change when policy and reference are shifted together, by one shift of the chosen and one of the rejected completion.
Along such shifts the policy's gradient may change, as it does in losses without a reference, but only as slowly as in a formula
of the margin: not back and forth within a nat, not often, and not at many places.

Covered: every operation of the table that can single out a value (`sandbox.numeric.edges.sites`: rounding, equality, choice,
waves, edges, steep functions, poles). The quantity that decides in each is computed through the graph as a set of linear forms
(`forms`), so neither gates nor the order of the batch hide it. Straight edges are compared in the plane of both shifts, at all
positions and at every tested beta (`edges`). Curved ones are followed along lines, with every value inside the loss and the
gradient (`lines`, `stretches`, `excursions`). The verifier refuses graphs with as many constants as only a table needs
(`sandbox.graph.loss_graph.MAX_CONSTANTS`). Not covered: up to MOST_EDGES conditions that are wider than a nat, and so hold for
many pairs at once. See docs/notes/lookups.md.
"""
