"""The command `evopo landscape`."""

from __future__ import annotations

from pathlib import Path

import click

from evo.cli.betas import betas_of
from evo.cli.failures import interrupted, reported
from evo.config.schema import ConfigError

AXES = ("rho", "beta-rho")
PAPER_BETA = 0.05
"""The beta of Lu et al. 2024, of their figures too."""


@click.command()
@click.argument("losses", nargs=-1, required=True, metavar="LOSS...")
@click.option("--betas", help="One or more, e.g. .05,.5.  [default: 0.05, the paper's; with --pairs the task's]")
@click.option(
    "--out", type=click.Path(path_type=Path),
    help="Also write a picture (.svg, .png), a page with picture and tables (.html), or all numbers (.csv).",
)  # fmt: skip
@click.option(
    "--axis", type=click.Choice(AXES), default="rho", show_default=True, help="The horizontal axis of pictures."
)
@click.option(
    "--reach", type=click.FloatRange(0, min_open=True),
    help="Largest margin, in units of beta * rho (for classification, of the logit).  [default: 6, and 8]",
)  # fmt: skip
@click.option("--contract", help="Contract of losses in files.  [default: that of the other losses, else preference]")
@click.option(
    "--pairs", "place", type=click.Path(path_type=Path), metavar="RUN|FILE.yaml",
    help="Count the training pairs that end training between optima. No archive keeps their margins: every loss is trained again, "
    "at each beta, on the task of this run or configuration; the results are not recorded.",
)  # fmt: skip
@click.option(
    "--seeds", type=click.IntRange(1, 64), help="With --pairs: the first seeds of the run's search.  [default: 3]"
)
@click.option("--rung", help="With --pairs: rung to train at.  [default: the search's rung of highest fidelity]")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="With --pairs: override a key, e.g. --set workers=2"
)
@reported
def landscape(
    losses: tuple[str, ...], betas: str | None, out: Path | None, axis: str, reach: float | None, contract: str | None,
    place: Path | None, seeds: int | None, rung: str | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Show the shape of losses over the margin rho: optima, where training lowers margins, flat stretches, jumps, tails.

    LOSS is the name of a known loss, a file NAME.py (which the sandbox vets), or a candidate of a run, DIRECTORY#ID.
    """
    from analysis.plots.landscape.draw import Axis
    from analysis.plots.landscape.landscape import landscape as landscape_of
    from analysis.plots.landscape.text import landscape_text
    from analysis.report.landscape import FORMS, check_target, write_landscapes
    from analysis.wording import columns
    from evo.baselines.named_losses import named_losses
    from sandbox.contracts.contract import contract_named

    grid = betas_of(betas)
    if out is not None:
        if out.suffix not in FORMS:
            raise ConfigError(f"--out needs a file that ends in one of {', '.join(FORMS)}, got {out}")
        check_target(out)
    if place is None and (seeds or rung or overrides):
        raise ConfigError("--seeds, --rung and --set say how --pairs trains: give --pairs RUN too")
    shown = named_losses(losses, contract)
    follows = contract_named(shown[0].graph.contract)
    if grid and not follows.scalars:
        raise ConfigError(f"--betas: losses of the contract {follows.name} take no beta")
    trainings = None
    if place is not None:
        from evo.landscape.pairs import EXPLAINED, table, trained_margins, trainings_of

        trainings = trainings_of(place, overrides, rung, seeds or 3)
        if trainings.info.contract != follows.name:
            raise ConfigError(
                f"--pairs: the task {trainings.info.name} trains {trainings.info.contract} losses, not {follows.name} losses"
            )
        grid = grid or ((trainings.info.beta,) if trainings.info.beta else ())
    grid = grid or (PAPER_BETA,)
    found = [landscape_of(loss.name, loss.graph, beta, reach) for loss in shown for beta in grid]
    click.echo(landscape_text(found))
    counted: list[tuple[str, ...]] = []
    if trainings is not None:
        try:
            margins = trained_margins(trainings, shown, grid, lambda text: click.echo(text, err=True))
        except KeyboardInterrupt:
            interrupted("Interrupted. Nothing was recorded.")
        counted = table(found, margins)
        click.echo("\n" + EXPLAINED + "\n\n" + "\n".join(columns(counted)))
    if out is not None:
        from analysis.output.files import is_special

        write_landscapes(out, found, Axis(axis), counted)
        click.echo(f"Wrote {out}", err=is_special(out))
