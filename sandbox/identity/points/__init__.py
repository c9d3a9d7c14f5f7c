"""Points at which two losses are compared: one module per contract, and the common interface in `comparison` (torch).

`fresh_points` draws the random points for preference losses. The decision whether two losses are the same is made in
`sandbox.identity`, not here.
"""
