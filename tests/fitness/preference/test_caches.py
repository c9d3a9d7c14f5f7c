"""A cache that cannot be written is reported before a run starts, with the remedy."""

import errno
from pathlib import Path

import pytest

from fitness.preference.caches import cache_faults, no_room, why_not_writable
from fitness.preference.options import Options


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """A path where no folder can be created, even by root: a file is there."""
    (tmp_path / "file").touch()
    return tmp_path / "file"


def faults(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, **changes: object) -> list[str]:
    for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_DATASETS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return cache_faults(Options.model_validate({"model": "m", "data": "d.jsonl", **changes}))


@pytest.mark.parametrize("name", ["file", "file/below", "n" * 256, "nul\0in", "loop", "loop/below", "nowhere"])
def test_a_path_that_cannot_be_a_folder_is_detected(blocked, name):
    (blocked.parent / "loop").symlink_to("loop")
    (blocked.parent / "nowhere").symlink_to("gone")
    before = sorted(blocked.parent.iterdir())
    assert why_not_writable(blocked.parent / name)
    assert why_not_writable(blocked.parent / "new" / "cache") == ""
    assert sorted(blocked.parent.iterdir()) == before


@pytest.mark.parametrize("home", [Path("/proc"), Path("/sys")], ids=str)
def test_a_home_that_cannot_be_written_is_reported_with_both_remedies(home, monkeypatch):
    if not home.is_dir():
        pytest.skip(f"no {home} here")
    (fault,) = faults({"HOME": str(home)}, monkeypatch)
    assert fault.startswith(f"fitness.cache: the cache ~/.cache/evopo cannot be written ({home}: ")
    assert "set fitness.cache (and HF_HOME for the libraries' own)" in fault


def test_the_libraries_cache_is_checked_separately(blocked, tmp_path, monkeypatch):
    (fault,) = faults({"HOME": str(blocked)}, monkeypatch, cache=str(tmp_path / "cache"))
    assert fault.startswith("fitness.data: the libraries' cache ~/.cache/huggingface/datasets cannot be written")
    assert "set HF_HOME" in fault
    assert faults({"HOME": str(blocked), "HF_HOME": str(tmp_path)}, monkeypatch, cache=str(tmp_path / "c")) == []
    (tmp_path / "pairs.jsonl").touch()
    here = str(tmp_path / "pairs.jsonl")
    assert faults({"HOME": str(blocked)}, monkeypatch, cache=str(tmp_path / "c"), data=here) == []


def test_the_variable_that_chose_a_folder_is_named(blocked, tmp_path, monkeypatch):
    (fault,) = faults({"HOME": str(tmp_path), "XDG_CACHE_HOME": str(blocked)}, monkeypatch)
    assert f"the cache {blocked}/evopo cannot be written" in fault
    (fault,) = faults({"HOME": str(tmp_path), "HF_DATASETS_CACHE": str(blocked)}, monkeypatch)
    assert "set HF_DATASETS_CACHE" in fault


def test_no_folder_called_tilde_is_made_where_there_is_no_home(tmp_path, monkeypatch):
    (fault,) = faults({"HOME": str(tmp_path)}, monkeypatch, cache="~nobody-of-this-name/cache")
    assert "there is no home directory" in fault


def test_a_full_disk_is_detected_as_the_cause_of_another_error():
    options = Options.model_validate({"model": "m", "data": "d.jsonl", "cache": "/some/cache"})
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise ValueError("I/O operation on closed file")  # noqa: B904  (as a library does)
    except ValueError as error:
        told = no_room(error, options, {"HF_HOME": "/hf"})
    assert "free space in /some/cache (fitness.cache), /hf/datasets (HF_HOME)" in told
    assert no_room(ValueError("else"), options) == ""
