"""Directory of a run: `config.yaml`, `manifest.json`, `archive.db`, `run.log`, `report.html`, `exports/`, `templates/`.

The same command on the same directory resumes a run. What identifies it (task, contract, fitness, seed) may not change. Other keys
may, and each change is recorded as an event of the archive.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive.disk.files import remove, replace, there
from archive.records import BY_PEOPLE, RunRow
from archive.sqlite.connection import COMPANIONS
from archive.store import Archive
from evo.config.schema import Config
from evo.config.yaml_values import dump_yaml
from fitness.task.protocol import OPTIONS, TaskInfo

PACKAGES = (
    "evopo", "torch", "transformers", "trl", "datasets", "accelerate", "peft", "numpy", "networkx", "sqlite-utils",
    "RestrictedPython", "openai", "pydantic", "matplotlib",
)  # fmt: skip

_OPTIONS, _DATA = f"{OPTIONS}.options.", f"{OPTIONS}.data"
_FILES = f"{_DATA}."


class RunDirError(Exception):
    """The directory cannot be used for this run. The message says why and what to do."""


class NotInRun(Exception):
    """The requested candidate or step is not in the run. The message says which ones are."""


@dataclass(frozen=True, slots=True)
class RunDir:
    """Paths of a run's files."""

    path: Path

    @property
    def archive(self) -> Path:
        """The SQLite archive."""
        return self.path / "archive.db"

    @property
    def config(self) -> Path:
        """The resolved configuration, as YAML."""
        return self.path / "config.yaml"

    @property
    def manifest(self) -> Path:
        """Versions, commit, hardware, seeds and prompt hashes, as JSON."""
        return self.path / "manifest.json"

    @property
    def log(self) -> Path:
        """The log, appended to by every session."""
        return self.path / "run.log"

    @property
    def templates(self) -> Path:
        """Copies of the user's prompt templates that the run has used, each version in a folder of its own."""
        return self.path / "templates"

    @property
    def report(self) -> Path:
        """The report for a browser."""
        return self.path / "report.html"

    @property
    def exports(self) -> Path:
        """The default folder of exports."""
        return self.path / "exports"


def existing_run(path: Path) -> RunDir:
    """The run directory at `path`, or the one that holds the archive.db at `path`. Raises RunDirError if there is none."""
    rundir = RunDir(path)
    if path.name == rundir.archive.name and os.path.isfile(path):
        return RunDir(path.parent)
    if os.path.lexists(path) and not os.path.isdir(path):
        raise RunDirError(f"{path} is a file; give the directory of a run, or the {rundir.archive.name} in it")
    if not there(rundir.archive):
        missing = _missing(path, rundir.archive.name)
        raise RunDirError(
            f"{path} holds no run ({missing}); give the directory that `evopo run` named; `evopo ls` lists those in runs/"
        )
    return rundir


def _missing(path: Path, archive: str) -> str:
    """What is missing in a path that holds no archive."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return "there is no such directory"
    except OSError as error:
        return error.strerror or str(error)
    return f"no {archive}"


def default_directory(config: Config) -> Path:
    """`runs/NAME-sSEED` under the current directory."""
    return Path("runs") / f"{config.name}-s{config.seed}"


def identity(config: Config, info: TaskInfo, kind: str | None = None) -> dict[str, Any]:
    """The identity of a run, which may not change when it resumes. `kind`: None for a search, else a name such as `baselines`."""
    own = {"task": info.name, "contract": info.contract, "fitness": _plain(info.identity), "seed": config.seed}
    return own | ({"kind": kind} if kind else {})


def open_run(
    path: Path,
    config: Config,
    info: TaskInfo,
    prompts: Mapping[str, str],
    baseline: str | None,
    *,
    kind: str | None = None,
) -> tuple[RunDir, Archive, bool]:
    """The directory, its archive open for writing, and whether the run existed before.

    A run of another identity that holds neither a result nor anything that a person gave to it is replaced, since the new
    configuration may be a correction of the old one.
    `prompts`: hash of the templates by operator, for the manifest. Raises RunDirError, ArchiveError.
    """
    rundir = RunDir(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "a file has this name" if isinstance(error, FileExistsError) else error.strerror
        raise RunDirError(f"cannot create the run directory {path}: {why}; choose another with --dir") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise RunDirError(
            f"the run directory {path} is not writable; change its permissions or choose another with --dir"
        )
    resumed = there(rundir.archive)
    own = identity(config, info, kind)
    if resumed:
        archive = Archive.open(rundir.archive)
        try:
            resumed = continues(path, own, baseline if config.baseline or kind else None)
        except BaseException:
            archive.close()
            raise
        if not resumed:
            archive.close()
            for suffix in ("", *COMPANIONS):
                remove(rundir.archive.with_name(rundir.archive.name + suffix))
    if not resumed:
        resolved = config.model_dump(mode="json")
        row = RunRow(
            config.name,
            config.seed,
            info.name,
            info.contract,
            own,
            resolved,
            _version("evopo") or "",
            baseline=baseline,
        )
        archive = Archive.create(rundir.archive, row)
    try:
        _write(rundir.config, dump_yaml(config.model_dump(mode="json")))
        _write(rundir.manifest, json.dumps(_manifest(own, prompts), indent=2, sort_keys=True) + "\n")
    except BaseException:
        archive.close()
        raise
    return rundir, archive, resumed


def continues(path: Path, own: Mapping[str, Any], baseline: str | None) -> bool:
    """Whether a run of the identity `own` continues the one in `path`. Read-only. Raises RunDirError, ArchiveError.

    False if that has another identity and holds neither a result nor anything that a person gave to it, so that it may be replaced.
    `baseline`: None if the configuration does not name one.
    """
    from archive.query import Reader

    with Reader.open(RunDir(path).archive) as reader:
        run = reader.run()
        recorded = run.identity
        done = reader.progress()
        empty = not done.requests and done.trainings == done.unfinished and not reader.policies()
        empty = empty and not any(reader.events(kind=kind) for kind in BY_PEOPLE)
    changed = sorted(differences(recorded, own))
    if baseline not in (None, run.baseline):
        changed.append("baseline")
    if empty and (changed or run.baseline is None):
        return False
    if not changed:
        return True
    if "kind" in changed:
        raise RunDirError(f"{path} holds {recorded.get('kind', 'a search')}; choose another directory with --dir")
    keys = ", ".join(changed_keys(changed))
    raise RunDirError(
        f"{path} holds another run: {keys} would change; use its own configuration, or start anew with another --dir, name or seed"
    )


def differences(recorded: Any, own: Any, prefix: str = "") -> set[str]:
    """Dotted keys at which two identities differ; a missing key counts as None."""
    if isinstance(recorded, Mapping) and isinstance(own, Mapping):
        found: set[str] = set()
        for key in recorded.keys() | own.keys():
            found |= differences(recorded.get(key), own.get(key), f"{prefix}{key}.")
        return found
    return set() if recorded == own else {prefix.rstrip(".")}


def changed_keys(changed: Iterable[str]) -> list[str]:
    """The keys of a configuration, as the user writes them, for keys at which two identities differ.

    A task's identity has its options under `options`, and under `data` digests of its files, by the option that names them.
    """
    found = sorted(changed)
    if "task" in found:
        return ["task"]  # another task has other options anyway
    options = {key.removeprefix(_OPTIONS) for key in found if key.startswith(_OPTIONS)}
    files = {key.removeprefix(_FILES) for key in found if key.startswith(_FILES)}
    others = [key for key in found if not key.startswith((_OPTIONS, _FILES)) and key != _DATA]
    data = ["the task's own data"] if _DATA in found else []
    contents = [f"the content of {OPTIONS}.{name}" for name in sorted(files - options)]
    return [*(f"{OPTIONS}.{name}" for name in sorted(options)), *contents, *data, *others]


def environment() -> dict[str, Any]:
    """Versions and hardware, without loading torch."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def _manifest(own: Mapping[str, Any], prompts: Mapping[str, str]) -> dict[str, Any]:
    return {"identity": own, "prompts": dict(prompts), **environment()}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the source tree of this installation; None for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        out = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return out.stdout.strip() or None


def _write(path: Path, text: str) -> None:
    try:
        replace(path, text)
    except OSError as error:
        raise RunDirError(f"cannot write {path}: {error.strerror}; check the disk, or choose another --dir") from None


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
