"""Writer lock of an archive: a lock file next to it, locked by the kernel, with the identity of its holder.

There are two checks, because each alone has a gap:
    * A POSIX record lock on the lock file. The kernel releases it when the process ends in any way. It works between containers
      on one kernel, and forked children do not inherit it. Gap: it is released silently if the holder itself opens and closes the
      lock file elsewhere (for example to copy the run directory).
    * The holder's host, process id and start time, written into the file. If a process with that id and start time is running on
      this host, it holds the lock. Gap: processes of another host cannot be seen.
A lock file whose holder has ended is taken over; nothing has to be removed by hand.
"""

import errno
import json
import math
import os
import socket
import sys
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from archive.disk.files import located, open_regular, read_bounded
from archive.errors import ArchiveLocked, WriteFailed

CLOCK_SLACK = 2.0
"""Largest difference in seconds between two readings of one process's start time, since the clock may have been set between."""

LONGEST = 4096
"""Largest size of a lock file in bytes."""

LONGEST_HOST, MOST_PID, LATEST = 255, 2**31 - 1, 1e11
"""Longest host name in characters, highest process id, and latest start of a process in seconds since the epoch."""

_held: dict[Path, "WriterLock"] = {}
_guard = threading.Lock()


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock. `started` is in seconds since the epoch."""

    host: str
    pid: int
    started: float

    @classmethod
    def me(cls) -> "Holder":
        """This process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.started, UTC).isoformat(sep=" ", timespec="seconds")
        return f"process {self.pid} on {self.host}, started {at}"

    def is_alive(self) -> bool:
        """Whether this process (not a later one with its id) is running on this host. False for another host."""
        if self.host != socket.gethostname():
            return False
        try:
            return bool(abs(psutil.Process(self.pid).create_time() - self.started) <= CLOCK_SLACK)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


class WriterLock:
    """The writer lock of one archive; create it with `acquire`."""

    def __init__(self, path: Path, descriptor: int, holder: Holder, replaced: Holder | None) -> None:
        self.path = path
        self.holder = holder
        self.replaced = replaced
        """Holder of the stale lock that was taken over, if there was one."""
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, archive: Path) -> "WriterLock":
        """Locks `archive` (a resolved path). Raises ArchiveLocked with the holder, and UnsafeFile as in `open_regular`."""
        path = archive.with_name(archive.name + ".lock")
        me = Holder.me()
        with _guard:
            held = _held.get(path)
            # A forked child inherits this table, but not the locks.
            if held is not None and held.holder.pid == me.pid:
                raise _locked(archive, path, held.holder)
            lock = cls._take(archive, path, me)
            _held[path] = lock
            return lock

    @classmethod
    def _take(cls, archive: Path, path: Path, me: Holder) -> "WriterLock":
        while True:
            try:
                descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
            except OSError as error:
                raise ArchiveLocked(
                    f"cannot open the lock {path} ({error.strerror}); check its permissions and those of its folder"
                ) from error
            try:
                guarded = _kernel_lock(descriptor)
                named = _parse(os.read(descriptor, LONGEST))
                if guarded is False or (named is not None and named != me and named.is_alive()):
                    raise _locked(archive, path, named)
                if guarded is None and named is not None and named.host != me.host:
                    # It cannot be determined here whether that process is still running.
                    raise _locked(archive, path, named)
                if not _same_file(descriptor, path):
                    # The holder removed the file after we opened it and before we locked it.
                    os.close(descriptor)
                    continue
                _name(descriptor, path, me)
                return cls(path, descriptor, me, named)
            except BaseException:
                os.close(descriptor)
                raise

    def release(self) -> None:
        """Releases the lock and removes its file. Does nothing in a forked child, or if called again."""
        with _guard:
            if os.getpid() != self.holder.pid or _held.get(self.path) is not self:
                return
            del _held[self.path]
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)


def _name(descriptor: int, path: Path, holder: Holder) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, (json.dumps(asdict(holder)) + "\n").encode())
    except OSError as error:
        raise WriteFailed(f"cannot write the lock {path} ({error.strerror}); make room on its disk") from error


def living_writer(archive: str | Path) -> Holder | None:
    """The process that is writing to an archive now, for a status line. None if there is none, or none on this host.

    Raises UnsafeFile if the lock is not a regular file, or is too large.
    """
    place = located(archive)
    path = place.with_name(place.name + ".lock")
    with _guard:
        held = _held.get(path)
        # Closing the file here would release our own kernel lock on it.
        if held is not None and held.holder.pid == os.getpid():
            return held.holder
        try:
            named = _parse(read_bounded(path, LONGEST))
        except OSError:
            return None
    return named if named is not None and named.is_alive() else None


def _parse(text: bytes) -> Holder | None:
    """The holder in a lock file; None if the file is new, was not completely written, or was not written by evopo."""
    try:
        named = json.loads(text)
        host, pid, started = str(named["host"]), int(named["pid"]), float(named["started"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    possible = len(host) <= LONGEST_HOST and 0 < pid <= MOST_PID and math.isfinite(started) and 0 <= started <= LATEST
    return Holder(host, pid, started) if possible else None


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _locked(archive: Path, path: Path, holder: Holder | None) -> ArchiveLocked:
    if holder is not None and holder.pid == os.getpid() and holder.host == socket.gethostname():
        return ArchiveLocked(f"{archive} is already open for writing in this process ({holder}); close it there first")
    return ArchiveLocked(
        f"{archive} is being written by {holder or 'a process that has not named itself yet'}; wait for it or stop it "
        f"(if it is certain that it no longer runs, remove {path})"
    )


if sys.platform == "win32":

    def _kernel_lock(descriptor: int) -> bool | None:
        return None

else:
    import fcntl

    def _kernel_lock(descriptor: int) -> bool | None:
        """True: locked; False: another process holds it; None: this file system has no locks."""
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return False if error.errno in (errno.EACCES, errno.EAGAIN) else None
        return True
