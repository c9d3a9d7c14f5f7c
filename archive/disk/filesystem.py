"""Detection of network file systems, on which SQLite's write-ahead log is unsafe.

Covered: file systems that the mount table names (Linux /proc/self/mounts, else psutil). Not covered: a local file system that is
exported to other machines which write to it, and a virtual machine's disk that is shared under a local name.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import psutil

from archive.errors import NetworkFilesystem

NETWORK_KINDS = frozenset(
    {
        "9p", "afp", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "fuse", "gfs", "gfs2", "glusterfs",
        "gpfs", "lustre", "macfuse", "ncpfs", "ncp", "nfs", "nfs4", "ocfs2", "orangefs", "osxfuse", "panfs", "prl_fs", "pvfs2",
        "smb", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs", "webdav", "wekafs",
    }
)  # fmt: skip
LOCAL_FUSE_KINDS = frozenset(
    f"fuse.{name}" for name in ("bindfs", "encfs", "fuse-overlayfs", "gocryptfs", "mergerfs", "ntfs-3g", "unionfs")
)
"""FUSE file systems that keep their data on this machine; most others are remote storage."""

MOUNTS = Path("/proc/self/mounts")


def mounts() -> list[tuple[str, str]]:
    """Mount points and kinds of file system, in the order of mounting; empty where this is not known."""
    try:
        return parse_mounts(MOUNTS.read_text("utf-8", "surrogateescape"))
    except OSError:
        pass
    try:
        return [
            (part.mountpoint, "smb" if "remote" in part.opts.split(",") else part.fstype)
            for part in psutil.disk_partitions(all=True)
        ]
    except (OSError, psutil.Error):
        return []


def parse_mounts(text: str) -> list[tuple[str, str]]:
    """Mount points and kinds from the text of /proc/mounts, in which spaces are octal escapes."""
    fields = [line.split(" ") for line in text.splitlines()]
    return [(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), f[1]), f[2]) for f in fields if len(f) > 2]


def kind_at(path: Path, table: Iterable[tuple[str, str]]) -> str:
    """The kind of file system that holds `path`: that of the deepest mount point above it, the last among equals."""
    place = PurePosixPath(os.path.realpath(path))
    best, kind = -1, "unknown"
    for point, candidate in table:
        parts = PurePosixPath(point).parts
        if place.parts[: len(parts)] == parts and len(parts) >= best:
            best, kind = len(parts), candidate
    return kind


def is_network(kind: str) -> bool:
    """Whether a kind of file system, as named in the mount table, is or may be shared over a network."""
    kind = kind.lower()
    return kind in NETWORK_KINDS or (kind.startswith("fuse.") and kind not in LOCAL_FUSE_KINDS)


def refuse_network(path: Path, table: Iterable[tuple[str, str]] | None = None) -> None:
    """Raises NetworkFilesystem if `path` is on a network file system, according to `table` (default: this machine's mounts)."""
    kind = kind_at(path, mounts() if table is None else table)
    if is_network(kind):
        raise NetworkFilesystem(
            f"{path} lies on a network or shared file system ({kind}), where SQLite cannot keep an archive safe; put the run "
            "on a local disk (for example under /tmp or /scratch), and copy its folder when the run has ended"
        )
