"""Commands with which people steer a run, while it runs or not: inject, pin, unpin, ban, unban, note."""

from __future__ import annotations

from pathlib import Path

import click

from evo.cli.failures import reported
from evo.config.rundir import existing_run

_DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))
_CANDIDATE = click.argument("candidate", metavar="ID|NAME")
_ANY = click.argument("candidate", required=False, metavar="[ID|NAME]")
_DESCRIPTOR = click.option(
    "--descriptor", metavar="NAME=VALUE", help="Instead of a candidate: all that have this value, e.g. coupled=yes."
)


@click.command()
@_DIRECTORY
@click.argument("files", nargs=-1, required=True, metavar="FILE.py...", type=click.Path(path_type=Path))
@reported
def inject(directory: Path, files: tuple[Path, ...]) -> None:
    """Give losses of your own to the run in DIRECTORY, one in each file. They become candidates at its next step.

    The sandbox vets them first; if it refuses one, none is recorded. They count as no proposals.
    """
    from evo.session.steering import inject as recorded

    for line in recorded(existing_run(directory), list(files)):
        click.echo(line)


@click.command()
@_DIRECTORY
@_CANDIDATE
@reported
def pin(directory: Path, candidate: str) -> None:
    """Make a candidate of the run in DIRECTORY a parent more often."""
    from evo.session.steering import pin as recorded

    click.echo(recorded(existing_run(directory), candidate, remove=False))


@click.command()
@_DIRECTORY
@_CANDIDATE
@reported
def unpin(directory: Path, candidate: str) -> None:
    """Remove the pin of a candidate."""
    from evo.session.steering import pin as recorded

    click.echo(recorded(existing_run(directory), candidate, remove=True))


@click.command()
@_DIRECTORY
@_ANY
@_DESCRIPTOR
@reported
def ban(directory: Path, candidate: str | None, descriptor: str | None) -> None:
    """Exclude a candidate, or all with a value of a descriptor, from being parents and from prompts.

    It stays in the archive, the table and the final.
    """
    _ban(directory, candidate, descriptor, remove=False)


@click.command()
@_DIRECTORY
@_ANY
@_DESCRIPTOR
@reported
def unban(directory: Path, candidate: str | None, descriptor: str | None) -> None:
    """Remove a ban."""
    _ban(directory, candidate, descriptor, remove=True)


@click.command()
@_DIRECTORY
@click.argument("words", nargs=-1, required=True, metavar="[ID|NAME] TEXT")
@click.option("--run", "on_run", is_flag=True, help="Instead of a candidate: a note on the whole run.")
@reported
def note(directory: Path, words: tuple[str, ...], on_run: bool) -> None:
    """Write a note on a candidate of the run in DIRECTORY, or on the run. It is shown to people, and is in no prompt."""
    from evo.session.steering import note as recorded

    if len(words) != (1 if on_run else 2):
        raise click.UsageError("give a candidate (id or name) and the text in quotes, or --run and the text in quotes")
    click.echo(recorded(existing_run(directory), None if on_run else words[0], words[-1]))


STEERING = (inject, pin, unpin, ban, unban, note)


def _ban(directory: Path, candidate: str | None, descriptor: str | None, *, remove: bool) -> None:
    from evo.session.steering import ban as recorded

    if (candidate is None) == (descriptor is None):
        raise click.UsageError("give a candidate (id or name) or --descriptor NAME=VALUE, and not both")
    click.echo(recorded(existing_run(directory), candidate, descriptor, remove=remove))
