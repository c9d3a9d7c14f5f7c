"""The command `evopo evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from evo.cli.failures import interrupted, reported
from evo.config.schema import ConfigError


@click.command()
@click.argument("named", nargs=-1, metavar="[DIR|LOSS]...")
@click.option(
    "--on", "names", multiple=True, metavar="NAME",
    help="Benchmark: mt-bench, alpaca-eval, tldr (they need a judge), imdb, lm-eval; may be given several times.",
)  # fmt: skip
@click.option(
    "--model", "models", multiple=True, type=click.Path(path_type=Path), metavar="PATH",
    help="A trained model, a folder that save_pretrained wrote; may be given several times.",
)  # fmt: skip
@click.option(
    "--reference", type=click.Path(path_type=Path), metavar="PATH",
    help="The reference model, such a folder.  [default: the task's untrained model]",
)  # fmt: skip
@click.option("--seeds", type=click.IntRange(1, 64), default=3, show_default=True, help="Trainings of each loss.")
@click.option("--rung", help="Rung to train at.  [default: the search's rung of highest fidelity]")
@click.option("--task", help="Task that is trained.  [default: that of the first run, else sentiment]")
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE.yaml",
    help="What is trained, as for `evopo run`, if it is not the embedded task or that of a run.",
)  # fmt: skip
@click.option(
    "--judging", type=click.Path(path_type=Path), metavar="FILE.yaml",
    help="The judge, the generation and the benchmarks: the sections judge, generation, mt-bench, ...",
)  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Override a key of either file, e.g. --set judge.model=gpt-4.1 --set mt-bench.questions=question.jsonl",
)  # fmt: skip
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Directory.  [default: runs/evaluate-NAME]")
@click.option("--dry-run", is_flag=True, help="Only show what would be trained and asked, and its highest cost.")
@click.option(
    "--show", "shown", type=click.Path(path_type=Path), metavar="DIRECTORY",
    help="Only print the results in this directory of an evaluation again.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the results to a .csv, .html or .json file.")
@reported
def evaluate(
    named: tuple[str, ...], names: tuple[str, ...], models: tuple[Path, ...], reference: Path | None, seeds: int,
    rung: str | None, task: str | None, config: Path | None, judging: Path | None, overrides: tuple[str, ...],
    directory: Path | None, dry_run: bool, shown: Path | None, as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Train losses, let the trained models answer the questions of benchmarks, and have a judge grade the answers.

    LOSS is the name of a known loss, a file NAME.py (which the sandbox vets), or a candidate of a run, DIR#ID; the DIR of a run
    stands for its finalists. All are judged beside the loss DPO and the untrained model. The same command continues an interrupted
    evaluation: nothing is trained, answered or paid for twice.
    """
    from evo.evaluate.results import check_target, show

    if out is not None:
        check_target(out)
    if shown is not None:
        if named or names or models:
            raise ConfigError("--show prints what is recorded: give no losses, models or benchmarks beside it")
        click.echo(show(shown, out, as_json=as_json))
        return

    from evo.evaluate.rehearsal import rehearse
    from evo.evaluate.run import run_evaluation
    from evo.evaluate.settings import NAMES, parted
    from evo.evaluate.subjects import Wish, default_directory, subjects_of
    from evo.evaluate.work import work_of
    from fitness.task.faults import did_you_mean

    if unknown := [name for name in names if name not in NAMES]:
        raise ConfigError(
            f"--on: expected some of {', '.join(NAMES)}, got {unknown[0]!r}{did_you_mean(unknown[0], NAMES)}"
        )
    if not names:
        raise ConfigError(f"--on: name at least one benchmark: {', '.join(NAMES)}")
    wish = Wish(named, models, reference, task, config, seeds, rung)
    settings, rest = parted(judging, overrides)
    path = directory or default_directory(wish)
    work = work_of(subjects_of(wish, rest, path), settings, tuple(dict.fromkeys(names)))

    def say(text: str) -> None:
        click.echo(text, err=as_json)

    if dry_run:
        rehearse(work, path, say)
        return
    try:
        run_evaluation(work, path, say)
    except KeyboardInterrupt:
        interrupted(f"Interrupted. Everything that was finished is recorded in {path}; the same command continues.")
    if as_json or out is not None:
        text = show(path, out, as_json=True)
        if as_json:
            click.echo(text)
        else:
            click.echo(f"Wrote {out}")
