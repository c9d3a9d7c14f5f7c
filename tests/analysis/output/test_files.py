"""Writing to the path of --out: replacing a file, or writing to a pipe, a device or an open file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from analysis.output.errors import ExportRefused
from analysis.output.files import is_special, write_whole

pytestmark = pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="needs the open files of a process as names")

WRITE = "import sys; from pathlib import Path; from analysis.output.files import write_whole; write_whole(Path(sys.argv[1]), 'new')"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_a_standard_output_that_goes_to_a_file_is_appended_to(name: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    with (tmp_path / "file").open("wb") as file:
        file.write(b"before,")
        file.flush()
        subprocess.run([sys.executable, "-c", WRITE, tmp_path / name], stdout=file, check=True)
        file.write(b",after")
    assert (tmp_path / "file").read_text() == "before,new,after"
    assert (tmp_path / "link").is_symlink() and os.path.exists("/dev/stdout")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs the open files of others as names")
def test_an_open_file_of_another_process_is_appended_to(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.write(b"before,")
        file.flush()
        name = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        subprocess.run([sys.executable, "-c", WRITE, name], check=True)
    assert (tmp_path / "file").read_text() == "before,new"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    writer = threading.Thread(target=write_whole, args=(tmp_path / "link", "new"))
    writer.start()
    assert (tmp_path / "pipe").read_text() == "new"
    writer.join()
    assert (tmp_path / "link").is_symlink() and is_special(tmp_path / "pipe")


def test_a_link_to_a_regular_file_is_replaced_and_the_file_unchanged(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", "new")
    assert not (tmp_path / "link").is_symlink() and (tmp_path / "link").read_text() == "new"
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("name", ["/dev/evopo-test.edges", "/dev/fd/987654"])
def test_no_file_is_created_in_a_folder_of_devices(name: str) -> None:
    with pytest.raises(ExportRefused, match="no file is made in that folder"):
        write_whole(Path(name), "new")
    assert not os.path.exists(name)


def test_a_cycle_of_links_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").read_text() == "new"
