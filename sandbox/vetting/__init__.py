"""Vetting as a whole: `vet`, the pool of vetting processes, the parent's side of the jail, and the command line."""
