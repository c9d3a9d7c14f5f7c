"""Why vetting is not possible here at all, as opposed to a candidate that is refused."""

from __future__ import annotations

NO_TORCH = (
    "the numeric tests need torch; install it with: pip install 'evopo[train]' "
    "(or leave them out: numeric=False, --no-numeric)"
)


class SandboxUnavailable(RuntimeError):
    """This machine cannot vet as asked; the message says why, and what to do."""
