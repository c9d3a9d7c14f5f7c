"""What can go wrong while an archive is analysed; every message ends in what to do."""


class AnalysisError(Exception):
    """Base of all errors of this package; catching it catches them all."""


class MissingExtra(AnalysisError):
    """An optional package is needed; the message holds the command that installs it."""


class ExportRefused(AnalysisError):
    """The target of an export is a directory, an archive, or cannot be written."""


class NothingToDraw(AnalysisError):
    """The archive holds no candidate or no score yet that the picture would show, or its losses cannot be drawn."""


def missing_extra(purpose: str, package: str, extra: str) -> MissingExtra:
    """The error for `purpose`, which needs `package` of the optional dependencies `extra`."""
    return MissingExtra(f"{purpose} needs {package}, which is not installed; run: pip install 'evopo[{extra}]'")
