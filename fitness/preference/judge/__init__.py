"""A language model that compares two answers: what it is asked, its verdict, and what it costs."""
