"""Detection of network file systems."""

from pathlib import Path

import pytest

from archive.disk import filesystem
from archive.disk.filesystem import is_network, kind_at, mounts, parse_mounts, refuse_network
from archive.errors import NetworkFilesystem
from archive.store import Archive

TABLE = r"""
/dev/vda / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/local xfs rw 0 0
//server/share /mnt/my\040share cifs rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/late /tmp/late autofs rw 0 0
server:/late /tmp/late nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/runs/archive.db", "ext4"),
        ("/home/ada/archive.db", "nfs4"),
        ("/home/local/archive.db", "xfs"),
        ("/homework/archive.db", "ext4"),
        ("/mnt/my share/archive.db", "cifs"),
        ("/tmp/late/archive.db", "nfs"),
    ],
)
def test_the_deepest_and_latest_mount_counts(path, kind):
    assert kind_at(Path(path), parse_mounts(TABLE)) == kind


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "lustre", "beegfs", "9p", "ceph", "fuse.sshfs", "fuse.gcsfuse"]
)
def test_shared_storage_is_refused(kind):
    assert is_network(kind)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "apfs", "ntfs", "fuseblk", "unknown"]
)
def test_local_storage_is_not(kind):
    assert not is_network(kind)


def test_a_network_file_system_is_refused_with_a_remedy():
    with pytest.raises(NetworkFilesystem, match=r"network .* \(nfs4\).* put the run on a local disk"):
        refuse_network(Path("/home/ada/archive.db"), parse_mounts(TABLE))


def test_neither_creating_nor_opening_works_there_unless_allowed(path, run, tmp_path, monkeypatch):
    table = tmp_path / "mounts"
    table.write_text(f"server:/x {path.parent} nfs4 rw 0 0\n")
    monkeypatch.setattr(filesystem, "MOUNTS", table)
    with pytest.raises(NetworkFilesystem):
        Archive.create(path, run)
    assert not path.exists()
    Archive.create(path, run, allow_network=True).close()
    with pytest.raises(NetworkFilesystem):
        Archive.open(path)
    Archive.open(path, allow_network=True).close()


def test_this_machines_mounts_are_read():
    if filesystem.MOUNTS.exists():
        assert any(point == "/" for point, _ in mounts())


def test_without_a_mount_table_psutil_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(filesystem, "MOUNTS", tmp_path / "none")
    assert all(isinstance(point, str) and isinstance(kind, str) for point, kind in mounts())
