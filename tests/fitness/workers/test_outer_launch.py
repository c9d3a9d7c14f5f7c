"""Variables of another launch are removed from a worker's environment."""

import pytest

from fitness.workers.outer_launch import note_on_dropped, without_outer_launch

KEPT = {"PATH": "/bin", "SLURM_PROCID": "3", "NCCL_DEBUG": "INFO", "OMP_NUM_THREADS": "4", "FRANK": "x", "RANKS": "y"}
TORCHRUN = {
    "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "ROLE_RANK": "1",
    "ROLE_NAME": "default", "TORCHELASTIC_RUN_ID": "none",
}  # fmt: skip
MEETING = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
MPI = {"PMI_RANK": "0", "PMI_SIZE": "4", "PMIX_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4", "MV2_COMM_WORLD_RANK": "0"}


@pytest.mark.parametrize("left", [TORCHRUN, MPI, {"MPI_LOCALRANKID": "0"}], ids=["torchrun", "mpi", "intel"])
@pytest.mark.parametrize("grouped", [False, True])
def test_rank_variables_of_another_launch_are_removed(left, grouped):
    variables, dropped = without_outer_launch(KEPT | left, grouped=grouped)
    assert variables == KEPT and set(dropped) == set(left)


def test_only_a_launcher_keeps_variables_that_configure_it():
    assert without_outer_launch(KEPT | MEETING, grouped=False)[0] == KEPT
    assert without_outer_launch(KEPT | MEETING, grouped=True) == (KEPT | MEETING, ())


def test_the_note_names_what_was_dropped():
    assert note_on_dropped(()) == ""
    assert "RANK, WORLD_SIZE:" in note_on_dropped(("RANK", "WORLD_SIZE"))
    assert "a, b, c, d and 2 more:" in note_on_dropped(tuple("abcdef"))


def test_settings_of_open_mpi_in_a_container_image_give_no_note():
    settings = {"OMPI_MCA_plm": "isolated", "PMIX_MCA_gds": "hash"}
    variables, dropped = without_outer_launch(KEPT | settings, grouped=False)
    assert variables == KEPT and note_on_dropped(dropped) == ""
    assert "get PMI_SIZE:" in note_on_dropped((*dropped, "PMI_SIZE"))
