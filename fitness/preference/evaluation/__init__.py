"""How a trained policy is scored: its answers, and the exams on them."""
