"""A pool survives the loss of workers, retries their requests, and leaves no process behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from processes import has_ended

from fitness.task import EvaluationFailed, FailureReason, ItemScores, SeedResult, TaskError
from fitness.workers.pool import WorkerPool, score_all
from sandbox.graph.loss_graph import LossGraph


def ask(pranks, losses, rung, *, seed=0, **options):
    """One request to a pool of one worker."""

    async def run():
        async with WorkerPool("pranks", pranks, **options) as pool:
            return await pool.score(losses["logistic"], rung, seed)

    return asyncio.run(run())


def test_results_go_to_their_requests(pranks, losses):
    results = score_all("pranks", [(losses["logistic"], "score", seed) for seed in range(20)], pranks, workers=2)
    assert [result.fitness for result in results] == [float(seed) for seed in range(20)]
    assert len({result.metrics["pid"] for result in results}) == 2


def test_warnings_of_a_worker_reach_the_user(pranks, losses, caplog):
    ask(pranks, losses, "warn")
    assert [record.getMessage() for record in caplog.records] == ["asked 4 at once from now on"]


def test_a_training_that_is_cancelled_twice_leaves_no_process_to_be_reaped_later(pranks, losses):
    async def run():
        async with WorkerPool("pranks", pranks) as pool:
            await pool.ready()
            training = asyncio.create_task(pool.score(losses["logistic"], "hang", 0))
            await asyncio.sleep(0.2)
            (pid,) = pool.pids
            training.cancel()  # as by a gather that is cancelled,
            while pool.pids:
                await asyncio.sleep(0)
            training.cancel()  # and by the clearing up after it, while the process is being ended
        return psutil.pid_exists(pid)

    assert not asyncio.run(run())


def test_items_come_back_with_the_fitness(pranks, losses):
    result = ask(pranks, losses, "by_item")
    assert result.items == ItemScores((1.0, 0.0, 0.5), ("first prompt", "first prompt", "second prompt"))
    assert result.fitness == 0.5


WORKER_THAT_REPLIES = """
import json, sys
print(json.dumps({"state": "ready", "task": "pranks", "pid": 1, "seconds": 0}), flush=True)
for line in sys.stdin:
    scored = {"id": 1, "state": "scored", "fitness": 0.5, "metrics": {}, "seconds": 1, "tokens": 1, "steps": 1, "seed": 0}
    print(json.dumps(scored | {"items": json.load(open(sys.argv[1]))}), flush=True)
"""


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ({"values": [1.0, 0.0], "groups": ["a"]}, "a group each"),
        ({"values": [], "groups": []}, "a group each"),
        ({"values": [1.0, float("nan")], "groups": ["a", "b"]}, "finite"),
        ({"values": [1.0, None], "groups": ["a", "b"]}, "a number and a group name"),
        ({"values": [1.0, 0.0], "groups": ["a", 7]}, "a number and a group name"),
        ({"values": [1.0, 0.0], "groups": ["a", "b" * 300]}, "at most 200 characters"),
        ({"values": [1.0, 1.0], "groups": ["a", "b"]}, "expected the fitness, 0.5"),
        ({"values": "10", "groups": "ab"}, "not an object with the lists"),
        ([1.0, 0.0], "not an object with the lists"),
    ],
)
def test_items_of_a_worker_are_checked(items, words, pranks, losses, tmp_path):
    """A real process that follows a worker's protocol with invalid items."""
    script, reply = tmp_path / "worker.py", tmp_path / "items.json"
    script.write_text(WORKER_THAT_REPLIES)
    reply.write_text(json.dumps(items))
    with pytest.raises(EvaluationFailed, match=words) as caught:
        ask(pranks, losses, "score", launcher=[sys.executable, str(script), str(reply)])
    assert caught.value.reason is FailureReason.WORKER_DIED


def test_beta_reaches_the_task(pranks, losses):
    async def run() -> SeedResult:
        async with WorkerPool("pranks", pranks) as pool:
            return await pool.score(losses["logistic"].to_json(), "score", 3, beta=0.25)

    assert asyncio.run(run()).metrics["beta"] == 0.25


def test_a_worker_that_dies_once_costs_one_retry(pranks, losses):
    assert ask(pranks, losses, "die_once", seed=7).fitness == 7.0


def test_a_worker_that_hangs_once_costs_one_retry(pranks, losses):
    assert ask(pranks, losses, "hang_once", seed=7, timeout=2.0).fitness == 7.0


def test_a_request_that_kills_twice_fails_with_the_signal(pranks, losses):
    with pytest.raises(EvaluationFailed, match="killed by SIGKILL") as caught:
        ask(pranks, losses, "kill_self")
    assert caught.value.reason is FailureReason.WORKER_DIED


def test_a_request_that_hangs_twice_fails_as_timeout(pranks, losses):
    with pytest.raises(EvaluationFailed, match=r"no answer within 0\.5 s") as caught:
        ask(pranks, losses, "hang", timeout=0.5)
    assert caught.value.reason is FailureReason.TIMEOUT


@pytest.mark.parametrize("rung", ["fill_memory", "fill_host_memory"])
def test_out_of_memory_has_its_own_reason(pranks, losses, rung):
    with pytest.raises(EvaluationFailed) as caught:
        ask(pranks, losses, rung)
    assert caught.value.reason is FailureReason.OUT_OF_MEMORY


def test_an_exit_reports_the_end_of_stderr_and_kills_child_processes(pranks, losses):
    with pytest.raises(EvaluationFailed, match=r"exit status 1(?s:.*)gone, with a child left"):
        ask(pranks, losses, "leave_a_child")
    assert has_ended(int(Path(pranks["folder"], "child").read_text()))


def test_a_failed_evaluation_is_not_tried_again(pranks, losses):
    with pytest.raises(EvaluationFailed, match="diverged: as asked"):
        ask(pranks, losses, "diverge")
    assert Path(pranks["folder"], "diverged").read_text() == "x"


def test_a_result_has_the_judges_usage_and_the_first_one_also_that_of_the_check(pranks, losses):
    results = score_all("pranks", [(losses["logistic"], "judge", seed) for seed in range(2)], pranks)
    assert sorted(result.paid.tokens for result in results) == [22, 22 + 6]


def test_a_failure_has_the_judges_usage(pranks, losses):
    with pytest.raises(EvaluationFailed) as caught:
        ask(pranks, losses, "judge_in_vain")
    assert caught.value.paid.tokens == 33 + 6


def test_a_try_without_an_answer_counts_with_the_upper_bound_of_the_judges_usage(pranks, losses):
    assert ask(pranks, losses, "die_once").paid.tokens == 1100 + 2 * 6
    with pytest.raises(EvaluationFailed) as caught:
        ask(pranks, losses, "kill_self")
    assert caught.value.paid.tokens == 2 * (1100 + 6)


def test_prints_do_not_corrupt_the_replies(pranks, losses):
    assert ask(pranks, losses, "print_a_lot", seed=5).fitness == 5.0


def test_a_task_that_cannot_be_prepared_says_why(pranks, losses):
    with pytest.raises(EvaluationFailed, match="bad_data: there is no such data set"):
        ask(pranks | {"broken": True}, losses, "score")


def readiness(pranks, **options) -> str:
    """The failure of a pool of two workers before any request."""

    async def run():
        async with WorkerPool("pranks", pranks, 2, **options) as pool:
            await pool.ready()

    with pytest.raises(EvaluationFailed) as caught:
        asyncio.run(run())
    assert caught.value.reason is FailureReason.BAD_DATA
    return caught.value.detail


def test_an_unusable_task_fails_before_any_request(pranks):
    assert readiness(pranks | {"broken": True}) == "there is no such data set"


def test_a_ready_pool_returns_the_notes_of_the_task(pranks):
    async def run() -> tuple[str, ...]:
        async with WorkerPool("pranks", pranks) as pool:
            return await pool.ready()

    assert asyncio.run(run()) == ("Two pranks were left out.",)


def test_a_worker_in_the_shell_of_another_launch_ignores_it_with_a_note(pranks, monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "PMI_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)

    async def run() -> tuple[str, ...]:
        async with WorkerPool("pranks", pranks) as pool:
            return await pool.ready()

    assert asyncio.run(run())[0].startswith(
        "Workers do not get MASTER_ADDR, PMI_SIZE, RANK, WORLD_SIZE: these variables"
    )


def test_a_ready_pool_knows_the_number_of_groups_in_the_final(pranks):
    async def run() -> list[int | None]:
        async with WorkerPool("pranks", pranks) as pool:
            before = pool.judged
            await pool.ready()
            return [before, pool.judged]

    assert asyncio.run(run()) == [None, 6]


def test_an_unexpected_error_in_prepare_is_bad_data(pranks, losses):
    said = "KeyError: 'a column that nobody thought of'"
    told = readiness(pranks | {"crash": "raise"})
    assert told.startswith("the task cannot be prepared: task 'pranks' (package pranks 1.0") and said in told
    with pytest.raises(EvaluationFailed, match=said):
        ask(pranks | {"crash": "raise"}, losses, "score")


def test_out_of_memory_in_prepare_is_reported_as_such(pranks):
    assert readiness(pranks | {"crash": "memory"}).startswith(
        "the task cannot be prepared: memory ran out (MemoryError): free memory"
    )


def test_a_worker_that_dies_before_it_is_ready_is_bad_data(pranks, losses):
    assert readiness(pranks | {"crash": "exit"}).startswith("a worker ended before it was ready: exit status 7")
    with pytest.raises(EvaluationFailed, match="ended before it was ready") as caught:
        ask(pranks | {"crash": "exit"}, losses, "score")
    assert caught.value.reason is FailureReason.BAD_DATA


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        (
            "Traceback (most recent call last):\n  raise X\ntorch.OutOfRange.SomeError: no (3)\n",
            "torch.OutOfRange.SomeError: no (3);",
        ),
        (
            "[rank1]: ValueError: of a rank\nsubprocess.CalledProcessError: Command '...' failed\n",
            "ValueError: of a rank;",
        ),
        (
            "file.py:3: UserWarning: no Error\nfitness.workers.worker: task 'x' (file x.py): score_seed failed: KeyError: 3\n",
            "task 'x' (file x.py): score_seed failed: KeyError: 3;",
        ),
        ("some/file.py:3: FutureWarning: no Error\n", None),
    ],
)
def test_the_report_of_a_death_begins_with_the_exception(stderr, told, pranks):
    """If the report is truncated, users see its beginning only."""
    code = f"import sys; sys.stderr.write({stderr!r}); sys.exit(4)"
    said = readiness(pranks, launcher=[sys.executable, "-c", code])
    how = "a worker ended before it was ready: exit status 4"
    assert said.startswith(f"{how}: {told}" if told else f"{how}; the end of its stderr:")


def test_a_file_that_hides_a_module_is_named_if_a_worker_cannot_start(pranks, monkeypatch, tmp_path):
    (tmp_path / "queue.py").write_text("x = 1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert f"{tmp_path / 'queue.py'} is imported through PYTHONPATH" in readiness(pranks)


def test_a_launcher_that_is_not_a_command_is_named_at_once(pranks):
    with pytest.raises(TaskError, match="the launcher 'accelerat' is not a command on PATH or in"):
        WorkerPool("pranks", pranks, launcher=("accelerat", "launch"))


def test_a_launcher_beside_the_interpreter_needs_no_path(pranks, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    WorkerPool("pranks", pranks, launcher=(Path(sys.executable).name, "-P"))


def test_a_rank_without_memory_ends_its_group_and_the_next_request_is_served(pranks, losses):
    launcher = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--rdzv_backend", "c10d", "--rdzv_endpoint",
        "localhost:0",
    ]  # fmt: skip

    async def run():
        async with WorkerPool("pranks", pranks, launcher=launcher, timeout=100.0) as pool:
            with pytest.raises(EvaluationFailed, match="rank 1 has no room") as caught:
                await pool.score(losses["logistic"], "memory_of_the_second_rank", 0)
            assert caught.value.reason is FailureReason.WORKER_DIED
            return await pool.score(losses["logistic"], "score", 5)

    assert asyncio.run(run()).fitness == 5.0


def test_a_pool_works_after_deaths_hangs_and_cancellation(pranks, losses):
    async def run() -> tuple[list[object], list[int], list[int]]:
        async with WorkerPool("pranks", pranks, workers=2, timeout=3.0) as pool:
            forgotten = asyncio.create_task(pool.score(losses["logistic"], "hang", 0))
            await asyncio.sleep(1.0)
            forgotten.cancel()
            rungs = ["kill_self", "score", "hang", "score", "die_once", "fill_memory", "score"]
            asked = (pool.score(losses["logistic"], rung, seed) for seed, rung in enumerate(rungs))
            replies = await asyncio.gather(*asked, return_exceptions=True)
            pids = pool.pids
        return replies, pids, pool.pids

    replies, pids, after = asyncio.run(run())
    outcome = [reply.fitness if isinstance(reply, SeedResult) else str(reply.reason) for reply in replies]
    assert outcome == ["worker_died", 1.0, "timeout", 3.0, 4.0, "out_of_memory", 6.0]
    assert after == []
    assert all(has_ended(pid) for pid in pids)


def test_closing_ends_requests_in_progress(pranks, losses):
    async def run() -> tuple[object, list[int], float]:
        pool = WorkerPool("pranks", pranks)
        async with pool:
            await pool.score(losses["logistic"], "score", 0)
            hanging = asyncio.create_task(pool.score(losses["logistic"], "hang", 0))
            waiting = asyncio.create_task(pool.score(losses["logistic"], "score", 1))
            await asyncio.sleep(0.3)
            pids = pool.pids
        replies = await asyncio.gather(hanging, waiting, return_exceptions=True)
        return replies, pids, len(pool.pids)

    replies, pids, left = asyncio.run(run())
    assert [str(reply) for reply in replies] == ["worker_died: the pool was closed"] * 2
    assert left == 0
    assert all(has_ended(pid) for pid in pids)


def test_workers_die_with_a_killed_parent(pranks, losses, tmp_path):
    program = f"""
        import asyncio
        from fitness.workers.pool import WorkerPool
        async def main():
            async with WorkerPool("pranks", {pranks!r}, workers=2) as pool:
                await asyncio.gather(*(pool.score({losses["logistic"].to_json()!r}, "score", s) for s in range(2)))
                print(*pool.pids, flush=True)
                await pool.score({losses["logistic"].to_json()!r}, "hang", 0)
        asyncio.run(main())
    """
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ["PYTHONPATH"]])}
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, env=environment
    )
    with parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    assert all(has_ended(pid) for pid in pids)


def test_a_launcher_between_pool_and_worker_is_closed_too(pranks, losses, tmp_path):
    launcher = tmp_path / "launcher.py"
    launcher.write_text("import subprocess, sys; sys.exit(subprocess.run([sys.executable, *sys.argv[1:]]).returncode)")

    async def run() -> tuple[int, list[int]]:
        async with WorkerPool("pranks", pranks, launcher=(sys.executable, str(launcher))) as pool:
            result = await pool.score(losses["logistic"], "score", 0)
            return int(result.metrics["pid"]), pool.pids

    worker, launchers = asyncio.run(run())
    assert worker not in launchers
    assert has_ended(worker) and has_ended(launchers[0])


def test_wrong_use_is_reported_before_any_process_starts(pranks, losses):
    with pytest.raises(TaskError, match=r"did you mean fitness\.folder\?"):
        WorkerPool("pranks", pranks | {"fodler": "x"})
    with pytest.raises(TaskError, match="has no rung 'long'"):
        ask(pranks, losses, "long")
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(WorkerPool("pranks", pranks).score(losses["logistic"], "score", 0))
    with pytest.raises(ValueError, match="at least one worker"):
        WorkerPool("pranks", pranks, workers=0)


def test_graphs_are_verified_again_by_the_worker(pranks, losses):
    async def run() -> SeedResult:
        async with WorkerPool("pranks", pranks) as pool:
            return await pool.score('{"schema": 1, "nodes": []}', "score", 0)

    with pytest.raises(EvaluationFailed) as caught:
        asyncio.run(run())
    assert caught.value.reason is FailureReason.UNSUPPORTED_LOSS
    assert isinstance(losses["logistic"], LossGraph)
