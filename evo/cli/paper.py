"""The command `evopo paper`."""

from __future__ import annotations

from pathlib import Path

import click

from evo.cli.failures import interrupted, reported

FORMATS = ("table", "json", "csv")


@click.command()
@click.argument("directories", nargs=-1, metavar="[DIRECTORY]...", type=click.Path(path_type=Path))
@click.option(
    "--pairs", "place", type=click.Path(path_type=Path), metavar="RUN|FILE.yaml",
    help="Also count the training pairs that end between LRML's optima, by three trainings at beta 0.05 on the task of this run or "
    "configuration.",
)  # fmt: skip
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), default="table", show_default=True, help="What is printed."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write a page for a browser to this file, e.g. paper.html."
)
@click.option(
    "--no-pictures", is_flag=True, help="With --out: leave out the pictures, which need matplotlib and torch."
)
@reported
def paper(directories: tuple[Path, ...], place: Path | None, kind: str, out: Path | None, no_pictures: bool) -> None:
    """Show the published tables of Lu and others (2024) beside what was run here.

    DIRECTORY is one of `evopo run`, `evopo baselines`, `evopo evaluate` or `evopo transfer`. Each figure is published / ours, or a
    letter that stands for the reason why there is none of ours; and rank correlations of ours with the published ones.
    """
    from analysis.output.files import is_special
    from analysis.paper.files import FORMS
    from analysis.paper.page import check_page, write_page
    from analysis.paper.paper import paper_of
    from evo.evaluate.paper import given
    from evo.landscape.optima import between_optima

    if out is not None:
        check_page(out, pictures=not no_pictures)
    found = given(directories)
    try:
        between = None if place is None else between_optima(place, lambda text: click.echo(text, err=True))
    except KeyboardInterrupt:
        interrupted("Interrupted. Nothing was recorded.")
    page = paper_of(found, between, str(place or ""))
    click.echo(FORMS[kind](page))
    if out is not None:
        write_page(page, found.measures, out, pictures=not no_pictures)
        # What was printed may be read by another program.
        click.echo(f"Page: {out}", err=kind != "table" or is_special(out))
