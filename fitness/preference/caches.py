"""Checks of the cache folders that training on users' models and data writes to, without torch.

Home directories of compute nodes may be read-only, and users in containers may have none. The caches are never moved
automatically: an administrator of many machines needs to know where gigabytes are written.
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
    """One line with key and remedy if the cache of the run or of the libraries cannot be written; else empty."""
    shown = str(options.cache or Path(variables.get("XDG_CACHE_HOME") or "~/.cache", OWN))
    if why := why_not_writable(options.cache_folder):
        libraries = " (and HF_HOME for the libraries' own)" if library_fault(DATASETS, variables) else ""
        return [
            f"fitness.cache: the cache {shown} cannot be written ({why}): set fitness.cache{libraries} to a folder that "
            "can be written"
        ]
    if not os.path.exists(options.data) and (fault := library_fault(DATASETS, variables)):
        return [f"fitness.data: {fault}"]
    return []


def library_fault(which: str, variables: Mapping[str, str] = os.environ) -> str:
    """Why a cache of the Hugging Face libraries (`datasets` or `hub`) cannot be written, with a remedy; "" if it can."""
    own, shown = _library_cache(which, variables)
    if why := why_not_writable(Path(os.path.expanduser(shown))):
        return (
            f"the libraries' cache {shown} cannot be written ({why}): set {own if own in variables else 'HF_HOME'} to a "
            "folder that can be written"
        )
    return ""


def _library_cache(which: str, variables: Mapping[str, str]) -> tuple[str, str]:
    """The environment variable of one of the libraries' caches, and the cache's path."""
    own = {DATASETS: "HF_DATASETS_CACHE", HUB: "HF_HUB_CACHE"}[which]
    home = variables.get("HF_HOME") or os.path.join(variables.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return own, variables.get(own) or os.path.join(home, which)


def no_room(error: BaseException, options: Options, variables: Mapping[str, str] = os.environ) -> str:
    """The message for an error that was caused by a full disk, at any place in its chain; "" for other errors."""
    link: BaseException | None = error
    while link is not None and not (isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT)):
        link = link.__cause__ or link.__context__
    if link is None:
        return ""
    return (
        f"a disk is full ({os.strerror(link.errno or 0)}): free space in {options.cache_folder} (fitness.cache), "
        f"{_library_cache(DATASETS, variables)[1]} (HF_HOME) or {tempfile.gettempdir()} (TMPDIR), or set another folder"
    )


def why_not_writable(folder: Path) -> str:
    """Why `folder`, or its nearest existing parent, cannot be written; "" if it can. Leaves no files."""
    if str(folder).startswith("~"):  # not expanded, as there is no home: a folder named ~ would be created
        return "there is no home directory"
    place = folder
    try:
        place = Path(os.path.abspath(folder))
        while not _exists(place):
            place = place.parent
        os.rmdir(tempfile.mkdtemp(prefix=".evopo-", dir=place))
    except (OSError, ValueError) as error:
        return f"{place}: {getattr(error, 'strerror', None) or error}"
    return ""


def _exists(place: Path) -> bool:
    """Whether the path exists. Unlike `exists`, raises OSError if the system refuses the name."""
    try:
        os.lstat(place)
    except FileNotFoundError:
        return False
    return True
