"""Configuration of all tests. They compare with results of the CPU, so a GPU is hidden except with `-m gpu`."""

import gc
import os

import pytest

gc.disable()  # until all tests are collected: the modules and tests that are loaded until then are no garbage


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def pytest_collection_finish() -> None:
    """Keep what is loaded out of later collections. Each training makes a full one, which would scan all of it."""
    gc.freeze()
    gc.enable()
