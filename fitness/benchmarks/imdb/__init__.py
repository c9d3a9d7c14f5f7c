"""The IMDb benchmark: options of the sweep over beta. Its data, model and reward are those of the trained task."""
