"""Configuration of all tests. They compare with results of the CPU, so a GPU is hidden except with `-m gpu`."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
