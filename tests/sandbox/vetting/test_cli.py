"""The command line: input and output formats, exit codes, bad input, and escaping in every output."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hostile_more import candidate
from in_process import in_time

from sandbox.verdicts.rules import RULES
from sandbox.verdicts.verdict import Verdict
from sandbox.vetting.cli.commands import main
from sandbox.vetting.vet import Vetter

ROOT = Path(__file__).resolve().parents[3]
GOOD = candidate("return -F.logsigmoid(beta * x)")
SAME = candidate("return F.softplus(-beta * x)")
OTHER = candidate("return F.relu(1 - beta * x)")
BAD = candidate("return torch.lgamma(x)")
NASTY = candidate("y = 1", 'return x.foo + "\x9b31m</script><b>&amp;"')


def run(*arguments: str, cwd: Path = ROOT, input: str = "") -> subprocess.CompletedProcess[str]:
    """The command in this process."""
    with contextlib.chdir(cwd), in_time(120):
        done = CliRunner().invoke(main, arguments, input=input.encode(), obj=Vetter())
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return subprocess.CompletedProcess(
        arguments, done.exit_code, done.stdout_bytes.decode(), done.stderr_bytes.decode()
    )


def alone(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "sandbox", *arguments]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, env=variables)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(BAD)
    return tmp_path


def test_exit_codes(files: Path) -> None:
    assert run("check", "--no-numeric", "good.py", cwd=files).returncode == 0
    assert run("check", "--no-numeric", "bad.py", cwd=files).returncode == 1
    assert run("check", "--no-numeric", "good.py", "bad.py", cwd=files).returncode == 1
    assert alone("check", "--no-numeric", "none.py", "bad.py", cwd=files).returncode == 2
    assert run("check", cwd=files).returncode == 2
    assert run("check", "--what", "good.py", cwd=files).returncode == 2
    assert run("unknown").returncode == 2


def test_text_names_place_rule_and_remedy(files: Path) -> None:
    done = run("check", "--no-numeric", "good.py", "bad.py", cwd=files)
    assert "good.py: partial" in done.stdout
    assert "bad.py:3:12: SBX130 `torch.lgamma` is not available to a loss" in done.stdout
    assert "lgamma," not in done.stdout, "math.lgamma, of numbers, is no substitute"
    assert "Use an available function" in done.stdout
    assert "2 checked: 1 partial, 1 refused" in done.stderr


def test_numeric_check_accepts(files: Path) -> None:
    done = alone("check", "good.py", cwd=files)
    assert done.returncode == 0 and "good.py: accepted, hash g1:" in done.stdout


def test_directories_stdin_and_graphs(files: Path) -> None:
    (files / "sub").mkdir()
    (files / "sub" / "more.py").write_text(SAME)
    (files / "sub" / "notes.txt").write_text("no candidate")
    (files / ".hidden").mkdir()
    (files / ".hidden" / "x.py").write_text(BAD)
    graph = run("show", "good.py", "--as", "json", cwd=files).stdout
    (files / "graph.json").write_text(graph)
    done = run("check", "--no-numeric", "--json", "sub", ".", "graph.json", "-", cwd=files, input=GOOD)
    items = json.loads(done.stdout)
    assert [i["path"] for i in items] == [
        "sub/more.py",
        "./bad.py",
        "./good.py",
        "./sub/more.py",
        "graph.json",
        "<stdin>",
    ]
    assert [i["status"] for i in items] == ["partial", "refused", "partial", "partial", "partial", "partial"]
    assert items[4]["guarantees"]["files"] == "not-needed"


def test_a_link_in_a_directory_is_not_followed_but_a_named_one_is(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2 = 1\n")
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "loss.py").symlink_to(tmp_path / "secret")
    (tmp_path / "given" / "more").symlink_to(tmp_path)
    done = run("check", "--no-numeric", "given", cwd=tmp_path)
    assert done.returncode == 2 and "hunter2" not in done.stdout + done.stderr
    assert done.stdout == (
        "given/loss.py: error: a symbolic link, which is not followed; name the file itself to have it vetted\n"
    )
    named = run("check", "--no-numeric", "given/loss.py", cwd=tmp_path)
    assert named.returncode == 1 and "SBX" in named.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="a file that can be opened and not read")
def test_a_file_that_cannot_be_read_does_not_end_the_rest(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    for options in (("--no-numeric", "--json"), ("--no-numeric", "--json", "--jsonl")):
        done = run("check", *options, "/proc/self/mem", "good.py", cwd=tmp_path)
        items = (
            [json.loads(line) for line in done.stdout.splitlines()] if "--jsonl" in options else json.loads(done.stdout)
        )
        assert done.returncode == 2 and items[0]["error"] == "cannot be read: Input/output error"
        assert len(items) > 1


def test_bad_input_is_reported_and_the_rest_is_checked(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "binary.py").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "two.py").write_text(GOOD + GOOD.replace("def loss", "def other"))
    (tmp_path / "arguments.py").write_text("def loss(a, b):\n    return a\n")
    with open(tmp_path / "large.py", "wb") as stream:
        stream.truncate(50 * 2**20)
    (tmp_path / "nothing").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    os.symlink("/dev/zero", tmp_path / "endless.py")
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "good.py").write_text(GOOD)
    names = ["empty", "binary", "two", "arguments", "large", "pipe", "endless", "loop", "good"]
    done = run("check", "--no-numeric", "--json", *[f"{n}.py" for n in names], "nothing", "gone.py", cwd=tmp_path)
    items = {i["path"]: i for i in json.loads(done.stdout)}
    assert done.returncode == 2
    rules = {name: [f["rule"] for f in items[f"{name}.py"].get("findings", ())] for name in names}
    assert rules == {
        "empty": ["SBX109"],
        "binary": ["SBX101"],
        "two": ["SBX111"],
        "arguments": ["SBX110"],
        "large": ["SBX102"],
        "pipe": [],
        "endless": [],
        "loop": [],
        "good": [],
    }
    assert items["pipe.py"]["error"] == items["endless.py"]["error"] == "not a regular file"
    assert "cannot be read" in items["loop.py"]["error"] and "cannot be read" in items["gone.py"]["error"]
    assert "no candidates" in items["nothing"]["error"]
    assert items["good.py"]["status"] == "partial"


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": "a", "code": GOOD}),
        "not json",
        json.dumps(["code"]),
        json.dumps({"id": {"no": 1}, "code": GOOD}),
        "",
        json.dumps({"id": 7, "code": BAD}),
        "[" * 5000,
        json.dumps({"code": GOOD, "more": "x" * 1_100_000}),
        json.dumps({"code": 5}),
        json.dumps({"id": "\ud800\x1b", "code": GOOD}),
        f'{{"id": NaN, "code": {json.dumps(GOOD)}}}',
        f'{{"id": -1e999, "code": {json.dumps(GOOD)}}}',
        json.dumps({"id": "z", "code": GOOD}),
    ]
    done = run("check", "--jsonl", "--no-numeric", "-", cwd=tmp_path, input="\n".join(lines))
    same = run("check", "--jsonl", "--no-numeric", cwd=tmp_path, input="\n".join(lines))
    assert (same.returncode, same.stdout.count("\n")) == (done.returncode, done.stdout.count("\n"))
    assert done.returncode == 2
    assert done.stdout.isascii() and "\x1b" not in done.stdout
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 12
    assert [t.get("status", "error") for t in told] == [
        "partial",
        *["error"] * 3,
        "refused",
        *["error"] * 3,
        "partial",
        *["error"] * 2,
        "partial",
    ]
    assert [t["id"] for t in told if "status" in t] == ["a", 7, "\ud800\x1b", "z"]
    assert {"id", "accepted", "findings", "hash", "fingerprint", "descriptors", "guarantees", "milliseconds"} <= told[
        0
    ].keys()
    assert "<stdin>:2" in told[1]["line"] and "JSON" in told[1]["error"]
    assert "longer than" in told[6]["error"]


INFINITE = candidate(
    "tie = (policy_chosen_logps - policy_rejected_logps + 1e-6) ** 2",
    "tie = tie + (reference_chosen_logps - reference_rejected_logps) ** 2",
    "return F.softplus(-beta * x) + 1e-9 * torch.exp(1 / (tie * 1e6 + 1e-3))",
)
"""Its gradient is infinite where chosen and rejected tie in policy and reference."""


def test_a_loss_with_infinite_numbers_does_not_stop_a_batch(tmp_path: Path) -> None:
    lines = [json.dumps({"id": i, "code": code}) for i, code in enumerate((INFINITE, GOOD))]
    done = run("check", "--jsonl", cwd=tmp_path, input="\n".join(lines))
    told = [json.loads(line, parse_constant=pytest.fail) for line in done.stdout.splitlines()]
    assert [t["status"] for t in told] == ["refused", "accepted"]
    assert (done.returncode, done.stderr) == (1, "")


class Faulty(Vetter):
    """A vetter that has an internal error on some candidates."""

    def vet(self, source: str | bytes, *arguments: Any, **options: Any) -> Verdict:
        if b"fault" in (source if isinstance(source, bytes) else source.encode()):
            raise ArithmeticError("\x1b[31mdivision")
        return super().vet(source, *arguments, **options)


@pytest.mark.parametrize("form", ["--jsonl", "--json", "--sarif", "--junit", None])
def test_an_internal_error_affects_one_candidate_only(tmp_path: Path, form: str | None) -> None:
    for name, code in (("a.py", GOOD), ("b.py", GOOD + "# fault\n"), ("c.py", BAD)):
        (tmp_path / name).write_text(code)
    (tmp_path / "all.jsonl").write_text(
        "\n".join(json.dumps({"id": f.name, "code": f.read_text()}) for f in sorted(tmp_path.glob("*.py")))
    )
    wanted = "all.jsonl" if form == "--jsonl" else "."
    arguments = ["check", "--no-numeric", *([form] if form else []), str(tmp_path / wanted)]
    with Faulty() as vetter:
        done = CliRunner().invoke(main, arguments, obj=vetter)
    assert done.exit_code == 2
    assert "internal error, please report it with this candidate: ArithmeticError" in done.output
    assert "\x1b" not in done.output
    assert "SBX130" in done.output, "the candidate after it was vetted"


def test_json_lines_of_a_file_and_of_none(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps({"id": 1, "code": GOOD}) + "\n")
    os.mkfifo(tmp_path / "pipe")
    done = run("check", "--jsonl", "--no-numeric", "c.jsonl", "pipe", "gone", cwd=tmp_path)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [t.get("status", t.get("error")) for t in told][:2] == ["partial", "not a regular file"]
    assert done.returncode == 2


def test_workers_give_the_same_in_order(files: Path) -> None:
    lines = [json.dumps({"id": i, "code": (GOOD, BAD, OTHER)[i % 3]}) for i in range(9)]
    (files / "c.jsonl").write_text("\n".join(lines))
    done = run("check", "--jsonl", "--no-numeric", "--workers", "2", "c.jsonl", cwd=files)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [t["id"] for t in told] == list(range(9))
    assert [t["status"] for t in told] == ["partial", "refused", "partial"] * 3


def test_text_from_a_model_is_escaped_in_every_output(tmp_path: Path) -> None:
    name = "a\x1b[31m<b>&\"'\u202e.py"
    (tmp_path / name).write_text(NASTY)
    (tmp_path / "é.py").write_text(candidate("return x.ﬀ</script>"))
    paths = [name, "é.py", "\x1b]0;x\x07.py"]
    for form in ((), ("--json",), ("--sarif",), ("--junit",)):
        done = run("check", "--no-numeric", *form, *paths, cwd=tmp_path)
        said = done.stdout + done.stderr
        assert not [c for c in said if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c == "\u202e"]
        if form:
            assert ("</script>" not in said and "<b>" not in said.replace("\\u003cb\\u003e", "")) or form == ("--json",)


def test_sarif(files: Path) -> None:
    done = run("check", "--no-numeric", "--sarif", "good.py", "bad.py", "gone.py", cwd=files)
    log: dict[str, Any] = json.loads(done.stdout)
    assert log["version"] == "2.1.0" and "sarif" in log["$schema"]
    (analysis,) = log["runs"]
    (result,) = analysis["results"]
    assert result["ruleId"] == "SBX130" and result["level"] == "error"
    driver = analysis["tool"]["driver"]
    assert driver["rules"][result["ruleIndex"]]["id"] == "SBX130"
    where = result["locations"][0]["physicalLocation"]
    assert where == {"artifactLocation": {"uri": "bad.py"}, "region": {"startLine": 3, "startColumn": 12}}
    assert analysis["invocations"][0]["executionSuccessful"] is False
    assert "cannot be read" in analysis["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_junit(files: Path) -> None:
    done = run("check", "--no-numeric", "--junit", "good.py", "bad.py", "gone.py", cwd=files)
    suite = ElementTree.fromstring(done.stdout).find("testsuite")
    assert suite is not None
    assert {k: suite.attrib[k] for k in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
    }
    failure = suite.find("testcase/failure")
    assert failure is not None and failure.attrib["type"] == "SBX130"


def test_notes_are_printed_and_do_not_refuse(tmp_path: Path) -> None:
    (tmp_path / "note.py").write_text(candidate("return -F.logsigmoid(beta * x) * torch.sigmoid(x.var())"))
    done = run("check", "note.py", cwd=tmp_path)
    assert done.returncode == 0 and "note:" in done.stdout and "accepted" in done.stdout


def test_show(files: Path) -> None:
    for form, expected in (("python", "def "), ("latex", "\\"), ("trl", "DPO"), ("json", '{"schema":1')):
        done = run("show", "good.py", "--as", form, cwd=files)
        assert done.returncode == 0 and expected in done.stdout, done
    assert run("show", "bad.py", cwd=files).returncode == 1
    assert run("show", "gone.py", cwd=files).returncode == 2
    assert "SBX130" in run("show", "bad.py", cwd=files).stderr
    (files / "other.py").write_text("def loss(logits, targets):\n    return -logits.mean(dim=1)\n")
    done = run("show", "other.py", "--contract", "classification", "--as", "trl", cwd=files)
    assert done.returncode == 2 and "preference losses" in done.stderr and "Traceback" not in done.stderr


def test_shown_python_vets_to_the_same_loss(files: Path) -> None:
    (files / "again.py").write_text(run("show", "good.py", cwd=files).stdout)
    done = run("diff", "good.py", "again.py", cwd=files)
    assert done.returncode == 0 and "the same" in done.stdout


def test_diff(files: Path) -> None:
    (files / "same.py").write_text(SAME)
    (files / "other.py").write_text(OTHER)
    (files / "twice.py").write_text(candidate("return -2 * F.logsigmoid(beta * x)"))
    assert run("diff", "good.py", "same.py", cwd=files).returncode == 0
    done = run("diff", "good.py", "other.py", cwd=files)
    assert done.returncode == 1 and "gradient" in done.stdout
    assert "factor" in run("diff", "good.py", "twice.py", cwd=files).stdout
    assert run("diff", "good.py", "bad.py", cwd=files).returncode == 1
    assert run("diff", "good.py", "gone.py", cwd=files).returncode == 2


def test_explain_and_rules() -> None:
    told = run("explain", "sbx203").stdout
    assert RULES["SBX203"].explanation in told and "Bad:" in told and "Good:" in told
    assert run("explain", "SBX103").stdout.isprintable() or "\x1b" not in run("explain", "SBX103").stdout
    wrong = run("explain", "SBX2033")
    assert wrong.returncode == 2 and "SBX203" in wrong.stderr
    listed = run("rules").stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(RULES)
    assert len(json.loads(run("rules", "--json").stdout)) == len(RULES)
    assert "F.softplus(input, beta=1.0, threshold=20.0)" in run("rules", "--operations").stdout
    assert "ListComp" in run("rules", "--syntax").stdout


def test_help_loads_no_torch() -> None:
    program = "import sys\nfrom sandbox.__main__ import main\nsys.argv[1:] = ['check', '--help']\n"
    program += "try:\n    main()\nexcept SystemExit:\n    print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.endswith("False\n") and "--no-numeric" in done.stdout


def test_doctor_reports_what_was_prevented() -> None:
    done = run("doctor", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["held"] else 1)
    assert {a["guarantee"] for a in report["attempts"]} == set(report["guarantees"])
    assert run("doctor", "--without", "luck").returncode == 2


def test_closed_output_gives_no_traceback(files: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "rules"], stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, text=True
    )
    os.close(writer)
    assert "Traceback" not in done.stderr


def test_checks_do_not_wait_for_a_reader_of_stdin(files: Path) -> None:
    """A file named on the command line is vetted although standard input stays open."""
    reader, writer = os.pipe()
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "check", "--no-numeric", str(files / "good.py")],
        stdin=reader,
        capture_output=True,
        cwd=ROOT,
        timeout=60,
    )
    threading.Timer(0, os.close, (writer,)).start()
    os.close(reader)
    assert done.returncode == 0
