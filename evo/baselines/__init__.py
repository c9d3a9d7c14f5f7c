"""`evopo baselines`: the published losses and a user's own, tuned alike and measured on fresh seeds; table and picture."""
