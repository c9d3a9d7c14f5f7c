"""What a candidate's byte code calls in place of Python's own operators, calls, attributes, subscripts, loops and statements."""
