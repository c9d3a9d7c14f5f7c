"""`evopo compare`."""

from __future__ import annotations

from pathlib import Path

import click

from evo.cli.failures import reported

AGAINST = ("trainings", "proposals", "tokens", "usd", "seconds")
FORMATS = ("table", "json", "csv")


@click.command()
@click.argument("directories", nargs=-1, required=True, metavar="DIRECTORY...", type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=click.Choice(AGAINST),
    default="trainings",
    show_default=True,
    help="Cost that the curves are drawn against, and up to which they are compared.",
)
@click.option(
    "--by",
    multiple=True,
    metavar="KEY",
    help="Key of the configuration that tells strategies apart, e.g. search.mode; may be given several times.  "
    "[default: all that differ]",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="OLD=NEW",
    help="Another label for a strategy, e.g. --label population=ours; may be given several times.",
)
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), default="table", show_default=True, help="What is printed."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write a self-contained page for a browser to this file."
)
@click.option("--no-pictures", is_flag=True, help="With --out: leave out the picture, which needs matplotlib.")
@reported
def compare(
    directories: tuple[Path, ...], against: str, by: tuple[str, ...], labels: tuple[str, ...], kind: str, out: Path | None,
    no_pictures: bool,
) -> None:  # fmt: skip
    """Compare search strategies by several runs of each on one task.

    Runs that differ only in seed and name are one strategy. Prints the value of each strategy with its error over runs, tests
    between strategies, and what each found that the others did not.
    """
    from analysis.compare.curves import Against
    from analysis.compare.files import FORMS
    from analysis.output.files import is_special
    from evo.display.comparison import compared

    found = compared(directories, Against(against), by, _labels(labels))
    if out is not None:
        from analysis.compare.page import write_page

        write_page(found, out, pictures=not no_pictures)
    click.echo(FORMS[kind](found))
    if out is not None:
        # The table may be read by another program.
        click.echo(f"Page: {out}", err=kind != "table" or is_special(out))


def _labels(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        old, separator, new = text.rpartition("=")
        if not separator or not old or not new:
            raise click.BadParameter(f"expected OLD=NEW, got {text!r}", param_hint="--label")
        found[old] = new
    return found
