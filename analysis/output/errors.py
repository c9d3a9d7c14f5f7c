"""Error classes of an analysis. Every message ends with a remedy."""


class AnalysisError(Exception):
    """Base of all errors of this package; catching it catches them all."""


class MissingExtra(AnalysisError):
    """An optional package is not installed. The message has the command that installs it."""


class ExportRefused(AnalysisError):
    """The target of an export is a directory or part of an archive, or cannot be written."""


class NothingToDraw(AnalysisError):
    """The archive has no candidate or score yet that the picture would show, or its losses cannot be drawn."""


class NotComparable(AnalysisError):
    """Runs that cannot be compared: other tasks, or too little recorded. The message names the runs and the keys that differ."""


def missing_extra(purpose: str, package: str, extra: str) -> MissingExtra:
    """The error that `purpose` needs `package`, which is in the optional dependencies `extra`."""
    return MissingExtra(f"{purpose} needs {package}, which is not installed; run: pip install 'evopo[{extra}]'")
