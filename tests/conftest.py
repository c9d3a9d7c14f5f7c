"""The tests compare with figures of the CPU, so they hide a GPU; `-m gpu` alone shows it."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
