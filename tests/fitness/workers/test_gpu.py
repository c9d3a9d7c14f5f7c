"""Training and recovery on CUDA. Needs a GPU: `pytest -m gpu`."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "gpu_acceptance.py"


@pytest.mark.gpu
def test_every_check_of_the_acceptance_script_holds():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
