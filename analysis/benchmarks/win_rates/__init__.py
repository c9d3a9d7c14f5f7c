"""Win rates of judged comparisons: of policies against an opponent, plain and length controlled, with the judge's biases."""
