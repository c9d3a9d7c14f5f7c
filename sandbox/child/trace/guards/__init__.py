"""Guards: functions that a candidate's byte code calls in place of Python's operators, calls, attributes, loops and statements.

They decide what the code may do while it runs. Which syntax and names it may contain is not decided here but in
`sandbox.child.static`.
"""
