"""Files of an untrusted directory: nothing outside of it is read or written, and no command waits for a pipe."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from archive.disk.files import located, open_regular, read_bounded, replace, replacing, require_regular, there
from archive.errors import UnsafeFile

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs links and pipes")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder / "file"


def make_link(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


def make_pipe(place: Path, victim: Path) -> None:
    os.mkfifo(place)


def make_device(place: Path, victim: Path) -> None:
    place.symlink_to("/dev/zero")


def make_folder(place: Path, victim: Path) -> None:
    place.mkdir()


def make_socket(place: Path, victim: Path) -> None:
    here = os.getcwd()
    os.chdir(place.parent)  # the path of a socket must be short
    try:
        socket.socket(socket.AF_UNIX).bind(place.name)
    finally:
        os.chdir(here)


TRAPS = [
    (make_link, "a symbolic link, which is not followed"),
    (make_device, "a symbolic link, which is not followed"),
    (make_pipe, "a pipe"),
    (make_folder, "a folder"),
    (make_socket, "a socket"),
]


@pytest.mark.parametrize(("trap", "words"), TRAPS)
def test_a_link_pipe_device_or_folder_is_not_opened(trap, words, place: Path, victim: Path) -> None:
    trap(place, victim)
    for attempt in (
        lambda: require_regular(place),
        lambda: read_bounded(place),
        lambda: open_regular(place, os.O_RDWR | os.O_CREAT),
        lambda: open_regular(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
    ):
        with pytest.raises(UnsafeFile, match=words):
            attempt()
    assert victim.read_text() == "precious"


def test_a_device_is_not_opened() -> None:
    with pytest.raises(UnsafeFile, match="a device"):
        read_bounded(Path("/dev/zero"))


def test_a_second_name_of_a_file_is_read_and_not_written_to(place: Path, victim: Path) -> None:
    os.link(victim, place)
    assert read_bounded(place) == b"precious"
    require_regular(place)
    with pytest.raises(UnsafeFile, match="another name of a file elsewhere"):
        require_regular(place, alone=True)
    with pytest.raises(UnsafeFile, match="another name of a file elsewhere"):
        open_regular(place, os.O_RDWR)


def test_a_file_above_the_size_limit_is_refused(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UnsafeFile, match="at most 100 bytes"):
        read_bounded(place, 100)
    place.write_bytes(b"x" * 100)
    assert read_bounded(place, 100) == b"x" * 100


def test_a_link_is_replaced_and_its_target_unchanged(place: Path, victim: Path) -> None:
    place.symlink_to(victim)
    replace(place, "new ±\n")
    assert not place.is_symlink() and place.read_text("utf-8") == "new ±\n"
    assert victim.read_text() == "precious" and list(place.parent.iterdir()) == [place]


def test_a_block_that_fails_leaves_the_old_file_and_no_draft(place: Path) -> None:
    place.write_text("old")
    with pytest.raises(ValueError, match="half way"), replacing(place) as file:
        file.write(b"ne")
        raise ValueError("half way")
    assert place.read_text() == "old" and list(place.parent.iterdir()) == [place]


def test_a_link_to_the_folder_is_resolved(place: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place.parent)
    place.symlink_to("nowhere")
    assert located(tmp_path / "link" / "file") == located(place)
    assert there(tmp_path / "link" / "file") and not place.exists()
