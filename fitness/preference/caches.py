"""The folders that training on people's models and data writes to: whether that can be done, found out without torch.

Compute nodes have homes that cannot be written, containers have users without a home. Nothing is moved elsewhere by itself: who
runs many machines wants to know where gigabytes go.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fitness.preference.options import Options

OWN, DATASETS, HUB = "evopo", "datasets", "hub"


def cache_faults(options: Options, variables: Mapping[str, str] = os.environ) -> list[str]:
    """One line, with the key and the remedy, where the cache of the run or of the libraries cannot be written."""
    shown = str(options.cache or Path(variables.get("XDG_CACHE_HOME") or "~/.cache", OWN))
    if why := why_not_writable(options.cache_folder):
        libraries = " (and HF_HOME for the libraries' own)" * bool(library_fault(DATASETS, variables))
        return [
            f"fitness.cache: the cache {shown} cannot be written ({why}): set fitness.cache{libraries} to a folder that "
            "can be written"
        ]
    if not os.path.exists(options.data) and (fault := library_fault(DATASETS, variables)):
        return [f"fitness.data: {fault}"]
    return []


def library_fault(which: str, variables: Mapping[str, str] = os.environ) -> str:
    """Why a cache of the Hugging Face libraries, `datasets` or `hub`, cannot be written, and what to set; "" where it can."""
    own, shown = _library_cache(which, variables)
    if why := why_not_writable(Path(os.path.expanduser(shown))):
        return (
            f"the libraries' cache {shown} cannot be written ({why}): set {own if own in variables else 'HF_HOME'} to a "
            "folder that can be written"
        )
    return ""


def _library_cache(which: str, variables: Mapping[str, str]) -> tuple[str, str]:
    """The variable that names one of the libraries' caches, and where that cache is."""
    own = {DATASETS: "HF_DATASETS_CACHE", HUB: "HF_HUB_CACHE"}[which]
    home = variables.get("HF_HOME") or os.path.join(variables.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return own, variables.get(own) or os.path.join(home, which)


def no_room(error: BaseException, options: Options, variables: Mapping[str, str] = os.environ) -> str:
    """What to say of an error that a full disk is behind, wherever in its chain; "" for any other."""
    link: BaseException | None = error
    while link is not None and not (isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT)):
        link = link.__cause__ or link.__context__
    if link is None:
        return ""
    return (
        f"no room is left on a disk ({os.strerror(link.errno or 0)}): make room in {options.cache_folder} (fitness.cache), "
        f"{_library_cache(DATASETS, variables)[1]} (HF_HOME) or {tempfile.gettempdir()} (TMPDIR), or set another folder"
    )


def why_not_writable(folder: Path) -> str:
    """Why nothing can be made in `folder`, or in the nearest folder above it that is there; "" where it can. Leaves nothing."""
    if str(folder).startswith("~"):  # it stays where there is no home, and would be a folder of that name
        return "there is no home directory"
    place = folder
    try:
        place = Path(os.path.abspath(folder))
        while not _there(place):
            place = place.parent
        os.rmdir(tempfile.mkdtemp(prefix=".evopo-", dir=place))
    except (OSError, ValueError) as error:
        return f"{place}: {getattr(error, 'strerror', None) or error}"
    return ""


def _there(place: Path) -> bool:
    """Unlike `exists`, raises OSError where the system refuses the name."""
    try:
        os.lstat(place)
    except FileNotFoundError:
        return False
    return True
