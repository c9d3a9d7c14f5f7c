"""A program in place of the python of an environment with lm-eval: it answers what evopo asks, and copies a recorded results file.

The real lm-eval is tested in `tests/fitness/benchmarks/lm_eval/test_process.py` where it is installed.
"""

import sys
from pathlib import Path

RECORDED = Path(__file__).parent / "fitness" / "benchmarks" / "lm_eval" / "results_0_4_13.json"

_PROGRAM = """#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
if sys.argv[1] == "-c" and "version" in sys.argv[2]:
    print({version!r})
elif sys.argv[1] == "-c":
    print("a line of a library")
    print(json.dumps([name for name in json.loads(sys.argv[4]) if name != "reviews"]))
else:
    with (folder / "calls").open("a") as calls:
        calls.write(str(pathlib.Path("model").resolve()) + " " + " ".join(sys.argv[3:]) + chr(10))
    text = pathlib.Path({recorded!r}).read_text()
    {then}
    place = pathlib.Path("results/__model")
    place.mkdir(parents=True)
    (place / "results_2026-11-27T04-00-00.json").write_text(text)
"""


def stand_in(folder: Path, then: str = "pass", version: str = "0.4.13", recorded: Path = RECORDED) -> Path:
    """Write the program to `folder` and return its path. `then` is a statement that runs before the results are written."""
    path = folder / "python-with-lm-eval"
    path.write_text(
        _PROGRAM.format(python=sys.executable, folder=str(folder), version=version, recorded=str(recorded), then=then),
        "utf-8",
    )
    path.chmod(0o755)
    return path


def calls(folder: Path) -> list[str]:
    """The model's folder and the arguments of each call of lm-eval so far."""
    file = folder / "calls"
    return file.read_text("utf-8").splitlines() if file.exists() else []
