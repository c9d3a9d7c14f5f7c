"""`evopo show`, `export` and `report` on a run: prompts, replies, curves, the loss in other forms; paths that cannot be written."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from campaigns import CLASSIFICATION_LOSS, QUICK, Command, Result
from click.testing import CliRunner
from loopback_llm import Answer, Fault, LoopbackLLM, proposal

from archive.query import Reader
from evo.cli.commands import main

HOSTILE = "I \x1b[31mwill\x1b]0;title\x07 not\rwrite \u202ecode.\r\nNo."
SHOWN = "I \\x1b[31mwill\\x1b]0;title\\x07 not\\x0dwrite \\u202ecode.\nNo.\n"
ROOT = Path(__file__).resolve().parents[2]


def _losses(body: Mapping[str, Any], number: int) -> Answer:
    return Answer(proposal(CLASSIFICATION_LOSS.format(scale=1 + 0.01 * number), f"thought {number}", "twin"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A run whose model refused the JSON format, was busy, wrote prose, broke off, and then wrote losses; and its requests."""
    folder = tmp_path_factory.mktemp("asked")
    one_by_one = ("--set", "search.in_flight=1", "--set", "ladder.contenders=0", "--set", "ladder.finalists=0")
    with LoopbackLLM(
        [Fault.RATE_LIMIT, HOSTILE, Fault.BROKEN_JSON], fallback=_losses, rejects=["response_format"]
    ) as server:
        result = Command(folder).run(
            "run", "--dir", "run", *QUICK, *one_by_one, "--set", f"llm.base_url={server.base_url}", "--set", "llm.model=scripted-1",
            "--set", "budget.proposals=5", "--set", "budget.tokens=1000000",
        )  # fmt: skip
        assert result.code == 0, result.err
        return folder / "run", server.bodies


@dataclass(frozen=True)
class Here:
    """The command, run in this process in the folder of that run."""

    folder: Path

    def run(self, *arguments: str) -> Result:
        """Runs the command to its end."""
        done = CliRunner().invoke(main, arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Result(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def evo(asked: tuple[Path, list[Any]], monkeypatch: pytest.MonkeyPatch) -> Here:
    """The command in the folder of that run; the test fails for an unexpected exception."""
    monkeypatch.chdir(asked[0].parent)
    return Here(asked[0].parent)


def test_every_attempt_keeps_its_prompt(asked: tuple[Path, list[Any]]) -> None:
    run, bodies = asked
    with Reader.open(run / "archive.db") as reader:
        kept = [reader.prompt(p.id) for p in reader.proposals()]
    assert kept == [[(m["role"], m["content"]) for m in body["messages"]] for body in bodies]
    assert kept[0] != kept[1], "the form of the reply that is asked for changed after the first attempt"


def test_prompt_and_reply_of_a_candidate_can_be_read(evo: Here, asked: tuple[Path, list[Any]]) -> None:
    with Reader.open(asked[0] / "archive.db") as reader:
        candidate = next(c for c in reader.candidates() if c.origin == "proposal")
        assert candidate.proposal_id is not None
        prompt = reader.prompt(candidate.proposal_id)
    assert prompt is not None
    shown = evo.run("show", "run", str(candidate.id), "--prompt", "--reply")
    assert shown.code == 0 and shown.out.startswith("=== prompt\n--- system\n") and "=== reply\n{" in shown.out
    assert all(text.replace("\r\n", "\n") in shown.out for _, text in prompt)
    reply = evo.run("show", "run", str(candidate.id), "--reply").out
    assert ast.literal_eval(reply)["name"] == "twin", "one part alone is printed bare"


def test_a_step_without_a_candidate_is_shown_without_terminal_escapes(evo: Here) -> None:
    shown = evo.run("show", "run", "--step", "1", "--prompt", "--reply")
    assert shown.code == 0 and shown.out.count("Step 1, attempt") == 3 and shown.out.count("--- system") == 3
    assert shown.out.endswith("--- reply\n" + SHOWN), "the reply, in escapes where it has no glyph"
    assert "no loss in the reply" in shown.out and "rate_limit" in shown.out
    listed = evo.run("show", "run").out
    assert "step 1 gave no candidate: no loss in the reply" in listed
    assert "step 2 gave no candidate: the call failed: malformed" in listed
    assert "there is no step 9; the run has steps 1 to" in evo.run("show", "run", "--step", "9").err


def test_names_are_accepted_and_ambiguous_ones_listed(evo: Here) -> None:
    assert evo.run("show", "run", "focal").out.startswith("Candidate 3: focal")
    several = evo.run("show", "run", "twin")
    assert several.code == 2 and "3 candidates are called 'twin'" in several.err and "\n5 " in several.err
    close = evo.run("show", "run", "fokal")
    assert close.code == 2 and "did you mean focal?" in close.err
    assert "the run has candidates 1 to 7" in evo.run("show", "run", "77").err


@pytest.mark.parametrize(
    ("form", "words"), [("python", "def twin(logits, targets):"), ("latex", r"\mathcal{L}"), ("json", '"schema"')]
)
def test_a_loss_is_printed_for_use_elsewhere(evo: Here, form: str, words: str) -> None:
    shown = evo.run("show", "run", "5", "--as", form)
    assert shown.code == 0 and words in shown.out and "Candidate" not in shown.out


def test_a_missing_part_is_reported(evo: Here) -> None:
    trl = evo.run("show", "run", "5", "--as", "trl")
    assert trl.code == 2 and "takes preference losses" in trl.err
    assert "no proposer was asked" in evo.run("show", "run", "1", "--prompt").out
    assert "give a candidate or --step" in evo.run("show", "run", "1", "--step", "1").err
    made = evo.run("show", "run", "--step", "3", "--as", "python")
    assert made.code == 2 and "it made candidate 5: evopo show run 5" in made.err


def test_curves_are_printed_per_training_with_their_units(evo: Here) -> None:
    shown = evo.run("show", "run", "5", "--curves").out
    assert "label's logit less the highest other one" in shown
    assert "step  loss" in shown and "\n1  " in shown and "fitness 0." in shown


def test_the_archive_file_is_accepted_for_its_directory(evo: Here) -> None:
    for command in (("status",), ("show",), ("replay",), ("report", "--no-pictures"), ("export", "--format", "dot")):
        result = evo.run(command[0], "run/archive.db", *command[1:])
        assert result.code == 0, result.err
    other = evo.run("status", "run/config.yaml")
    assert other.code == 2 and "give the directory of a run, or the archive.db in it" in other.err


def test_a_folder_is_never_created_silently(evo: Here, asked: tuple[Path, list[Any]]) -> None:
    for command in (("report", "run", "--no-pictures"), ("export", "run", "--format", "csv")):
        result = evo.run(*command, "--out", "some/where/file")
        assert result.code == 1 and "there is no folder some/where; make it" in result.err
    assert not (evo.folder / "some").exists()
    shutil.rmtree(asked[0] / "exports", ignore_errors=True)
    made = evo.run("export", "run", "--format", "dot")
    assert made.code == 0 and made.out.startswith("Created the folder run/exports\n")
    assert "Made" not in evo.run("export", "run", "--format", "dot").out


@pytest.mark.parametrize("command", [("report", "run", "--no-pictures"), ("export", "run", "--format", "json")])
def test_output_to_an_open_file_has_no_messages_in_it(command: tuple[str, ...], evo: Here, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        place = f"/dev/fd/{file.fileno()}"
        done = evo.run(*command, "--out", place)
    assert done.code == 0 and done.out == "" and done.err.endswith(f" {place}\n")
    assert (tmp_path / "file").read_text().rstrip().endswith(("</html>", "}"))


@pytest.mark.parametrize(
    "command", [("report", "--no-pictures"), ("export", "--format", "json"), ("export", "--format", "csv")]
)
@pytest.mark.parametrize("target", ["/proc/file", "/dev/full", "a-folder"])
def test_a_path_that_cannot_be_written_is_reported_in_one_line(
    evo: Here, command: tuple[str, ...], target: str
) -> None:
    (evo.folder / "a-folder").mkdir(exist_ok=True)
    result = evo.run(command[0], "run", *command[1:], "--out", target)
    assert result.code == 1 and result.err.startswith("error: ") and target in result.err, result.err
    assert "choose another" in result.err or "give the name of a file" in result.err
    assert "Traceback" not in result.err
    assert Path("/dev/full").is_char_device()


ON_A_READ_ONLY_DISK = """
import subprocess
from click.testing import CliRunner
from evo.cli.commands import main
subprocess.run("mount --bind run run && mount -o remount,bind,ro run run", shell=True, check=True)
for arguments in (
    ["report", "run", "--no-pictures"], ["export", "run", "--format", "graphml"], ["export", "run", "--format", "csv"],
    ["report", "run", "--no-pictures", "--out", "report.html"], ["export", "run", "--format", "csv", "--out", "lineage.csv"],
    ["show", "run", "focal"], ["status", "run"], ["replay", "run"],
):
    done = CliRunner().invoke(main, arguments)
    print(done.exit_code, isinstance(done.exception, SystemExit | None), " ".join(done.output.split())[-80:])
"""


def test_a_read_only_disk_is_reported_in_one_line_and_reading_works(evo: Here, asked: tuple[Path, list[Any]]) -> None:
    shutil.rmtree(asked[0] / "exports", ignore_errors=True)
    apart = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("no disk can be made read-only here")
    done = subprocess.run(
        [*apart, sys.executable, "-c", ON_A_READ_ONLY_DISK], cwd=evo.folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == 8, done.stderr
    for line in lines[:3]:
        assert line.startswith("1 True") and "Read-only file system; choose another path with --out" in line
    for line in lines[3:]:
        assert line.startswith("0 True"), line
