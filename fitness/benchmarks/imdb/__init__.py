"""Only the options of the IMDb benchmark, a sweep over beta: its model, data and reward are those of the trained task."""
