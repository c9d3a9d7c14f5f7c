"""Assignment of GPUs to workers."""

import pytest

from fitness.workers.devices import share_gpus, visible_gpus


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ("", []),
        ("-1", []),
        ("2, 5", ["2", "5"]),
        ("0,-1,1", ["0"]),
        ("MIG-4f1,GPU-9c", ["MIG-4f1", "GPU-9c"]),
        ("NoDevFiles", []),
        ("1,none,2", ["1"]),
        ("MIG-GPU-9c/1/0", ["MIG-GPU-9c/1/0"]),
    ],
)
def test_the_list_of_visible_devices_counts(listed, names, tmp_path):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": listed}, tmp_path) == names


def test_without_a_list_the_drivers_devices_are_counted(tmp_path):
    for name in ("nvidia3", "nvidia7", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ["0", "1"]
    assert visible_gpus({}, tmp_path / "nowhere") == []


def test_single_processes_get_one_gpu_each():
    assert share_gpus(["0", "1", "2"], 2, grouped=False) == [["0"], ["1"]]
    assert share_gpus(["0", "1"], 3, grouped=False) == [["0"], ["1"], ["0"]]


def test_launch_groups_get_equal_shares():
    assert share_gpus(list("01234567"), 2, grouped=True) == [list("0123"), list("4567")]
    assert share_gpus(["0"], 2, grouped=True) == [["0"], ["0"]]


def test_without_gpus_nothing_is_set():
    assert share_gpus([], 2, grouped=False) == [None, None]
