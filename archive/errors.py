"""What can go wrong with an archive; every message says what was expected, what was found and what to do."""


class ArchiveError(Exception):
    """Base of all errors of this package; catching it catches them all."""


class ArchiveNotFound(ArchiveError):
    """There is no file at the given path."""


class ArchiveExists(ArchiveError):
    """A new archive would overwrite a file."""


class NotAnArchive(ArchiveError):
    """The file is something else: no SQLite database, or somebody else's."""


class CorruptArchive(ArchiveError):
    """The file was an archive, but SQLite or a value in it says that it is damaged or was tampered with."""


class NewerArchive(ArchiveError):
    """A newer evopo wrote this archive; this one would misread it."""


class ArchiveLocked(ArchiveError):
    """Another writer has this archive open; the message names its host, process and start time."""


class ArchiveClosed(ArchiveError):
    """The archive was closed, or is used in a forked child of the process that opened it."""


class NetworkFilesystem(ArchiveError):
    """SQLite's write-ahead log needs shared memory and locks that network file systems do not give."""


class UnreadableArchive(ArchiveError):
    """The operating system did not let us read the archive."""


class WriteFailed(ArchiveError):
    """SQLite could not store a row (disk full, input/output error, ...); nothing of the write was kept."""


class MissingRow(ArchiveError):
    """An id was given that the archive does not hold."""


class WrongState(ArchiveError):
    """A row is not in a state that allows this change, or was recorded already."""


class UnsafeFile(ArchiveError):
    """A file of a run directory is a link, a pipe, a device, a second name, too large, or not evopo's; nothing was done to it."""
