"""Whether a loss looks single pairs up: by values that belong to one pair alone, in place of what was learnt of it.

A pair keeps its reference log-probabilities through the whole training, and the policy starts from them. A loss that
behaves otherwise at one such value than beside it can carry a table of pairs, and treat each as its author wishes: it
scores well where the pairs are known beforehand, and says nothing about preference optimisation.

The principle. Log-ratios (policy over reference) are all zero at the start and tell no pair from another. What tells
pairs apart changes when policy and reference move together, by one shift of the chosen and one of the rejected
completion. Along such shifts the policy's gradient may change, as it does in losses without a reference, but only as
slowly as a formula of the margin does: not back and forth within a nat, not often, not at many places.

Covered: every operation of the table by which a value can be singled out (`sandbox.numeric.edges.sites`: rounding,
equality, choice,
waves, edges, steep functions, poles). What each of them decides by is followed through the graph as linear forms (`forms`),
so neither gates nor the order of the batch hide it; straight edges are compared in the plane of both shifts, wherever they
lie and at every beta tried (`edges`); curves are followed along lines, with every value on the way and the gradient
(`lines`, `stretches`, `excursions`). A number of constants that only tables need is refused by the verifier
(`graph.MAX_CONSTANTS`). Not covered: conditions wider than a nat, which hold for many pairs at once, up to MOST_EDGES of
them. See docs/notes/lookups.md.
"""
