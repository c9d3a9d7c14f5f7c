"""The kinds of things that a record of an operation is made of: attributes, calls, shape rules, kernels, bounds, edges, printed
forms. What is said of one operation stands in its record, not here."""
