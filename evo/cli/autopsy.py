"""The command `evopo autopsy`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evo.cli.failures import interrupted, reported

FORMATS = ("text", "json")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("candidate", required=False, metavar="[ID|NAME]")
@click.option("--seeds", type=click.IntRange(2, 256), help="Fresh seeds of each part.  [default: 16]")
@click.option(
    "--confirm", "confirming", type=click.IntRange(2, 512),
    help="Further fresh seeds, on which the smallest loss is measured.  [default: twice --seeds]",
)  # fmt: skip
@click.option("--rung", help="Rung to train at.  [default: that of the final]")
@click.option("--workers", type=click.IntRange(1), help="Training processes.  [default: as in the run]")
@click.option(
    "--max-trainings",
    "most",
    type=click.IntRange(1),
    help="Stop after this many trainings; the same command continues.",
)
@click.option("--anew", is_flag=True, help="Begin another autopsy of this loss, with other fresh seeds.")
@click.option("--dry-run", is_flag=True, help="Only show the number of trainings and about how long they take.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="Form of the result."
)
@click.option(
    "--config", type=click.Path(path_type=Path),
    help="The run's configuration, if it names models, data, endpoints, a launcher or a file with code.",
)  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. --set timeout_seconds=600"
)
@reported
def autopsy(
    directory: Path, candidate: str | None, seeds: int | None, confirming: int | None, rung: str | None, workers: int | None,
    most: int | None, anew: bool, dry_run: bool, form: str, config: Path | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Find out which parts of a loss matter: train it without each of them, on paired fresh seeds.

    Every term and constant of the loss is removed or reset alone. Then parts are removed one after another, for the smallest loss
    that cannot be told from the whole one. Without ID or NAME: the best finalist. The same command continues an interrupted
    autopsy; a finished one is only printed.
    """
    from analysis.claims.autopsy_table import autopsy_json, autopsy_text
    from evo.autopsy.measure import EnoughForNow, run_autopsy, shown_name
    from evo.autopsy.plan import Wish

    given = (*([f"workers={workers}"] if workers else []), *overrides)

    def say(text: str) -> None:
        click.echo(text, err=form != "text")

    try:
        wish = Wish(candidate, seeds, confirming, rung, anew)
        found = run_autopsy(directory, wish, say, config=config, overrides=given, most=most, dry_run=dry_run)
    except EnoughForNow as stopped:
        say(f"{stopped}. The same command continues.")
        return
    except KeyboardInterrupt:
        interrupted("Interrupted. All results so far are recorded; the same command continues.")
    if found is None:
        return
    name, title, metric = shown_name(directory, found.plan)
    if form == "json":
        click.echo(json.dumps(autopsy_json(found, name), indent=2, allow_nan=False))
    else:
        click.echo("\n" + autopsy_text(found, name, title, metric))
