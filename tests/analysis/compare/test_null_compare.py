"""The null experiment of comparisons: on made-up trainings, a strategy seldom differs from itself."""

import json
import random
import subprocess
import sys
from pathlib import Path

from sandbox.contracts.contract import contract_named

SCRIPT = Path(__file__).parents[3] / "scripts" / "null_compare.py"
COMPARISONS = 60


def test_a_strategy_seldom_differs_from_itself_by_simulated_runs(tmp_path):
    """Of 60 comparisons, 5 percent are 3; 11 or more have a chance below 1 in 2000 at that rate."""
    rng = random.Random(1)
    losses = contract_named("classification").seeds
    pool = [
        [[name, 1.0, rung], [rng.gauss(0.9 + 0.01 * n, 0.01) for _ in range(40)]]
        for n, name in enumerate(losses)
        for rung in ("short", "full", "held_out")
    ]
    (tmp_path / "pool.json").write_text(json.dumps({"pool": pool}))
    given = [
        "--pool",
        str(tmp_path / "pool.json"),
        "--bank",
        "12",
        "--group",
        "4",
        "--comparisons",
        str(COMPARISONS),
        "--json",
    ]
    done = subprocess.run([sys.executable, str(SCRIPT), *given], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    rows = json.loads(done.stdout)["rates"]
    assert [(row["runs"], row["matched"]) for row in rows] == [(4, True), (4, False)]
    assert all(row["rate"] * COMPARISONS < 11 for row in rows)
