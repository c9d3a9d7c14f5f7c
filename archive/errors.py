"""Error classes of the archive. A message says what was expected, what was found, and the remedy."""


class ArchiveError(Exception):
    """Base of all errors of this package; catching it catches them all."""


class ArchiveNotFound(ArchiveError):
    """There is no file at the given path."""


class ArchiveExists(ArchiveError):
    """A new archive would overwrite a file."""


class NotAnArchive(ArchiveError):
    """The file is not an SQLite database, or a database that evopo did not write."""


class CorruptArchive(ArchiveError):
    """The archive is damaged or was tampered with: SQLite cannot read it, or a value in it is invalid."""


class NewerArchive(ArchiveError):
    """A newer version of evopo wrote this archive, with a schema that this version does not know."""


class ArchiveLocked(ArchiveError):
    """Another writer has this archive open. The message has its host, process id and start time."""


class ArchiveClosed(ArchiveError):
    """The archive was closed, or is used in a forked child process of the one that opened it."""


class NetworkFilesystem(ArchiveError):
    """The archive is on a network file system, which lacks the shared memory and locks that SQLite's write-ahead log needs."""


class UnreadableArchive(ArchiveError):
    """The operating system does not allow reading the archive."""


class WriteFailed(ArchiveError):
    """SQLite could not store a row (disk full, input/output error, ...). The transaction was rolled back."""


class MissingRow(ArchiveError):
    """The archive has no row with the given id."""


class WrongState(ArchiveError):
    """The state of a row does not allow this change, or the row was recorded already."""


class UnsafeFile(ArchiveError):
    """A file of a run directory is a link, pipe or device, has a second name, is too large, or is not evopo's. It was not used."""
