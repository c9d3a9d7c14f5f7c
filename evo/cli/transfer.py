"""The command `evopo transfer`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evo.cli.failures import interrupted_in, reported

FORMATS = ("text", "json")


@click.command()
@click.argument("losses", nargs=-1, metavar="[LOSS|RUN]...")
@click.option(
    "--setting", "settings", multiple=True, metavar="NAME:KEY=VALUE,...",
    help="A setting: a name, and options of the task as for --set, without `fitness.`; may be given several times. The first is "
    "that of the search.",
)  # fmt: skip
@click.option("--task", help="Task.  [default: that of --config, else sentiment]")
@click.option("--config", type=click.Path(path_type=Path), help="Configuration of the task, as of `evopo run`.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Directory.  [default: runs/transfer-TASK]")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Override a key in all settings, e.g. --set fitness.epochs=100",
)  # fmt: skip
@click.option("--known", "every_known", is_flag=True, help="All known losses take part, in addition to those named.")
@click.option("--seeds", type=click.IntRange(2, 64), default=8, show_default=True, help="Fresh seeds in each setting.")
@click.option("--rung", help="Rung to train at.  [default: that of the task's final]")
@click.option("--workers", type=click.IntRange(1), help="Training processes.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="Form of the result."
)
@reported
def transfer(
    losses: tuple[str, ...], settings: tuple[str, ...], task: str | None, config: Path | None, directory: Path | None,
    overrides: tuple[str, ...], every_known: bool, seeds: int, rung: str | None, workers: int | None, form: str,
) -> None:  # fmt: skip
    """Train the same losses in several settings of a task, and say whether the winner of the first setting stays ahead.

    LOSS is a known loss, a file NAME.py (which the sandbox vets), or a candidate of a run, DIRECTORY#ID. RUN is the directory of a
    run: its finalists. Without any: all known losses. The baseline always takes part. Settings are other models, data, sizes, betas
    or noise levels. The same command continues an interrupted transfer; a finished one is only printed.
    """
    from analysis.claims.transfer_table import transfer_json, transfer_text
    from evo.config.schema import load_config
    from evo.transfer.losses import losses_of
    from evo.transfer.measure import run_transfer
    from evo.transfer.settings import configurations, default_path, settings_of
    from fitness.task import task_info

    def say(text: str) -> None:
        click.echo(text, err=form != "text")

    given = (*([f"task={task}"] if task else []), *([f"workers={workers}"] if workers else []), *overrides)
    wanted = settings_of(settings)
    base = load_config(config, given)
    path = directory or default_path(base)
    configs = configurations(wanted, path, config, given)
    compared = losses_of(
        losses, task_info(base.task, base.fitness).contract, every_known=every_known, baseline=base.baseline
    )
    try:
        found = run_transfer(configs, wanted, compared, path, say, seeds=seeds, rung=rung)
    except KeyboardInterrupt:
        interrupted_in(path, *configs)
    click.echo(
        json.dumps(transfer_json(found), indent=2, allow_nan=False) if form == "json" else "\n" + transfer_text(found)
    )
