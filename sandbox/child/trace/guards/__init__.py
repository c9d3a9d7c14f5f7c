"""Guards: functions that a candidate's byte code calls in place of Python's operators, calls, attributes, loops and statements."""
