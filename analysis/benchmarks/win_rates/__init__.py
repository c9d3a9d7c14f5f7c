"""Win rates of judged comparisons: of policies against an opponent, plain and length controlled, with the judge's biases.

Works on recorded rows. Nothing here knows the questions' texts or asks a judge.
"""
