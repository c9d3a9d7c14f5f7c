"""SandboxUnavailable: vetting is not possible on this machine. (A candidate that is refused is not an error.)"""

from __future__ import annotations

NO_TORCH = (
    "the numeric tests need torch; install it with: pip install 'evopo[train]' "
    "(or leave them out: numeric=False, --no-numeric)"
)


class SandboxUnavailable(RuntimeError):
    """This machine cannot vet in the requested way. The message has the reason and a remedy."""
