"""Vetting put together: `vet`, the pool of processes that vet, the parent's side of the jail, and the command line."""
