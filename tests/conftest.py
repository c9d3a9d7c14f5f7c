"""Configuration of all tests. They compare with results of the CPU, so a GPU is hidden except with `-m gpu`."""

import gc
import os
import sys

import hypothesis
import pytest

# Tests run in several processes, whose threads would wait for each other. Read when numpy and torch are loaded.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

gc.disable()  # until all tests are collected: the modules and tests that are loaded until then are no garbage


# Tests start many programs: with byte code on disk, they need not compile the packages again each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


# The same examples in each run, and no limit for the time of one: a run fails for what has changed, and not for what was drawn or
# for what else the machine does. `make soak` draws other examples, with hypothesis's own profile.
hypothesis.settings.register_profile(
    "evopo", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("anew", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("evopo")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def pytest_collection_finish() -> None:
    """Keep what is loaded out of later collections. Each training makes a full one, which would scan all of it."""
    gc.freeze()
    gc.enable()


def pytest_xdist_auto_num_workers() -> int:
    """Workers of `--numprocesses auto`: one more than there are cores, since many tests wait for processes and time limits."""
    return len(os.sched_getaffinity(0)) + 1
