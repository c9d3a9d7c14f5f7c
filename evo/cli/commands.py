"""Commands of `evopo`. Exit codes: 0 done or budget reached, 1 failure, 2 wrong use, 130 interrupted and resumable."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from evo.cli.autopsy import autopsy
from evo.cli.betas import betas_of
from evo.cli.compare import compare
from evo.cli.evaluate import evaluate
from evo.cli.failures import FAILURE, interrupted_in, reported
from evo.cli.landscape import landscape
from evo.cli.paper import paper
from evo.cli.steering import STEERING
from evo.cli.suggestions import Given, ways_on
from evo.cli.transfer import transfer
from evo.config.new_run import settled
from evo.config.rundir import RunDirError, default_directory, existing_run
from evo.config.schema import ConfigError, load_config
from sandbox.verdicts.terminal import Program

PRINTED_AS = ("python", "latex", "trl", "json")
FORMATS = ("graphml", "gexf", "json", "cytoscape", "dot", "csv", "parquet")

_DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="evopo")
def main() -> None:
    """Evolutionary search for preference losses, with a language model or without one."""


for command in (compare, autopsy, evaluate, landscape, paper, transfer, *STEERING):
    main.add_command(command)


@main.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Run directory.  [default: runs/NAME-sSEED]")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. --set budget.proposals=100"
)
@click.option("--seed", type=int, help="Seed of the search; the final draws its own from the operating system.")
@click.option(
    "--seed-from",
    multiple=True,
    metavar="FILE.py|FOLDER|RUN[:N]",
    help="Seed losses of your own: a file, a folder of files, or the best N (3) of an earlier run, by its directory or archive.db; "
    "may be given several times.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the first prompt of a language model, the plan and the maximum cost; check endpoints, model and data; train and pay "
    "nothing.",
)
@click.option("--offline", is_flag=True, help="With --dry-run: do not use the network (endpoints and the hub).")
@reported
def run(
    config: Path | None, directory: Path | None, overrides: tuple[str, ...], seed: int | None, seed_from: tuple[str, ...],
    dry_run: bool, offline: bool,
) -> None:  # fmt: skip
    """Search for losses. Without CONFIG: the embedded campaign, on a CPU, with nothing to download.

    The same command on the same directory continues an interrupted run. A finished run continues with a larger budget only;
    a command with other settings is refused.
    """
    from evo.session.earlier_session import FinishedRun
    from evo.session.session import CampaignStopped, run_session
    from fitness.task import reads_data

    settings = load_config(config, overrides, seed=seed)
    if offline and not dry_run:
        raise ConfigError(
            "--offline needs --dry-run: a run uses the network only for what its configuration names, and needs no flag"
        )
    path = directory or default_directory(settings)
    settings = settled(settings, path)
    try:
        if dry_run:
            from evo.session.dry_run import rehearse

            rehearse(settings, path, click.echo, online=not offline, seed_from=seed_from)
            if reads_data(settings.task):
                program = click.get_current_context().find_root().command_path
                given = Given(program, config, overrides=overrides, command="data")
                click.echo(f"What a model would see of the data, pair by pair: {given}")
            return
        run_session(settings, path, click.echo, seed_from)
    except FinishedRun as error:
        program = click.get_current_context().find_root().command_path
        given = Given(program, config, directory, overrides, seed, seed_from=seed_from)
        raise RunDirError(f"{error}\n{ways_on(given, settings, path, error.larger)}") from None
    except CampaignStopped as error:
        click.echo(f"error: {error}", err=True)
        click.echo(
            f"All results so far are recorded in {path}; once the cause is fixed, the same command continues.", err=True
        )
        sys.exit(FAILURE)
    except KeyboardInterrupt:
        interrupted_in(path)


@main.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. --set fitness.max_length=512"
)
@click.option("--show", "shown", type=click.IntRange(0), default=3, show_default=True, help="Training pairs to show.")
@click.option("--whole", is_flag=True, help="Show full texts; by default the middle of long ones is left out.")
@reported
def data(config: Path | None, overrides: tuple[str, ...], shown: int, whole: bool) -> None:
    """Show your preference data as a model would get it: lengths, what is left out and why, and decoded pairs.

    The configuration is that of `evopo run`. Nothing is trained, and only the tokenizer of the model is loaded. Data that a run
    would refuse are refused here too.
    """
    from evo.session.data import data_shown

    data_shown(load_config(config, overrides), click.echo, shown, whole=whole)


@main.command()
@_DIRECTORY
@reported
def status(directory: Path) -> None:
    """Show the progress of the run in DIRECTORY, its spending, and a comparison of its losses."""
    from evo.display.views import status_text

    click.echo(status_text(existing_run(directory)))


@main.command("ls")
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@reported
def list_runs(directory: Path | None) -> None:
    """List the runs in DIRECTORY: state, proposals, trainings, best loss, last event.  [default: runs]"""
    from evo.display.listing import runs_text

    place = directory or Path("runs")
    if directory is None and not place.exists():
        click.echo("No runs here: there is no directory runs. Give the directory that holds them.")
        return
    click.echo(runs_text(place, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))


@main.command()
@_DIRECTORY
@click.argument("candidate", required=False, metavar="[ID|NAME]")
@click.option("--step", type=click.IntRange(1), help="Instead of a candidate: every attempt of this step.")
@click.option("--prompt", is_flag=True, help="The prompt that was sent for it.")
@click.option("--reply", is_flag=True, help="The unchanged reply.")
@click.option("--as", "form", type=click.Choice(PRINTED_AS), help="The loss in a form for use elsewhere.")
@click.option("--curves", is_flag=True, help="Loss, margin and KL during its trainings.")
@reported
def show(
    directory: Path, candidate: str | None, step: int | None, prompt: bool, reply: bool, form: str | None, curves: bool
) -> None:
    """Show one candidate: code, verdict, scores, ancestry. Without ID or NAME: list all candidates.

    Each option prints that part alone. Text of a model is printed with escapes for characters that have no glyph.
    """
    from evo.display.show import Parts, candidate_text, overview_text, step_text

    rundir, parts = existing_run(directory), Parts(prompt, reply, curves, form)
    if candidate is not None and step is not None:
        raise click.UsageError("give a candidate or --step, not both")
    if step is not None:
        click.echo(step_text(rundir, step, parts))
    elif candidate is not None:
        click.echo(candidate_text(rundir, candidate, parts))
    elif parts != Parts():
        raise click.UsageError("--prompt, --reply, --as and --curves need a candidate (id or name) or --step")
    else:
        click.echo(overview_text(rundir))


@main.command()
@_DIRECTORY
@click.option("--out", type=click.Path(path_type=Path), help="File to write.  [default: DIRECTORY/report.html]")
@click.option("--no-pictures", is_flag=True, help="Leave out the pictures, which need matplotlib.")
@reported
def report(directory: Path, out: Path | None, no_pictures: bool) -> None:
    """Write report.html, a self-contained page for a browser."""
    from evo.display.views import write_report_file

    _tell("Report:", write_report_file(existing_run(directory), out, pictures=not no_pictures))


@main.command()
@_DIRECTORY
@click.option("--format", "kind", required=True, type=click.Choice(FORMATS))
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write.  [default: DIRECTORY/exports/lineage.FORMAT]"
)
@reported
def export(directory: Path, kind: str, out: Path | None) -> None:
    """Export the lineage as a graph or as tables."""
    from evo.display.views import export_file

    for path in export_file(existing_run(directory), kind, out, click.echo):
        _tell("Wrote", path)


@main.command()
@_DIRECTORY
@click.option(
    "--task",
    metavar="FILE.py:NAME",
    help="The file of the run's task, if the task is in a file: a file named only by an archive is not executed.",
)
@reported
def replay(directory: Path, task: str | None) -> None:
    """Repeat every recorded selection from the results it had seen, and report whether all are the same."""
    from evo.campaign.replay import replay_run

    outcome = replay_run(existing_run(directory), task)
    click.echo(outcome.text)
    sys.exit(0 if outcome.same else FAILURE)


@main.command("prompt")
@_DIRECTORY
@click.option("--operator", metavar="NAME", help="The first coming step that uses this operator, e.g. combine.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.option("--task", metavar="FILE.py:NAME", help="The file of the run's task, if the task is in a file.")
@reported
def next_prompt(directory: Path, operator: str | None, form: str, task: str | None) -> None:
    """Show the prompt that the run in DIRECTORY would send next. Nothing is requested or recorded."""
    from evo.display.next_prompt import next_prompt_text
    from evo.search.operators import BY_NAME
    from fitness.task.faults import did_you_mean

    if operator is not None and operator not in BY_NAME:
        raise click.UsageError(
            f"--operator: expected one of {', '.join(BY_NAME)}, got {operator!r}{did_you_mean(operator, BY_NAME)}"
        )
    click.echo(next_prompt_text(existing_run(directory), operator, form, task))


@main.command()
@click.option("--task", help="Task whose known losses are scored.  [default: sentiment]")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Directory.  [default: runs/baselines-TASK]")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. --set fitness.epochs=2"
)
@click.option("--seed", type=int, help="Seed of the tuning; fresh seeds are drawn from the operating system.")
@click.option("--seeds", type=click.IntRange(1, 64), default=8, show_default=True, help="Fresh seeds of the table.")
@click.option(
    "--tuning-seeds",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Seeds that choose each loss's beta.",
)
@click.option("--betas", help="Grid of beta, e.g. 0.05,0.1,0.5; the same for all.  [default: the paper's]")
@click.option("--rung", help="Rung to train at.  [default: the search's rung of highest fidelity]")
@click.option(
    "--loss",
    "losses",
    multiple=True,
    metavar="NAME|FILE.py",
    help="Only this published loss, or your own in a file, which the sandbox vets; may be given several times.",
)
@click.option(
    "--candidate",
    "candidates",
    type=(click.Path(path_type=Path), int),
    multiple=True,
    metavar="DIRECTORY ID",
    help="A candidate of a run, in addition to the baseline and to what --loss names.",
)
@click.option(
    "--picture", type=click.Path(path_type=Path), help="Draw reward against KL over the grid, to a .svg or .png file."
)
@click.option("--workers", type=click.IntRange(1), help="Training processes.")
@reported
def baselines(
    task: str | None, directory: Path | None, overrides: tuple[str, ...], seed: int | None, seeds: int, tuning_seeds: int,
    betas: str | None, rung: str | None, losses: tuple[str, ...], candidates: tuple[tuple[Path, int], ...],
    picture: Path | None, workers: int | None,
) -> None:  # fmt: skip
    """Score the published losses of a task, or your own, with the same tuning of beta; print a table with standard errors.

    The same command on the same directory continues an interrupted comparison; a finished one is only printed.
    """
    from evo.baselines.compared_losses import compared_losses
    from evo.baselines.design import design
    from evo.baselines.measure import run_baselines
    from evo.baselines.picture import check_picture, write_picture
    from fitness.task import task_info
    from fitness.task.registry import directory_name

    given = [*([f"task={task}"] if task else []), *([f"workers={workers}"] if workers else []), *overrides]
    settings = load_config(None, given, seed=seed)
    settings = settings.model_copy(update={"name": f"baselines-{directory_name(settings.task) or 'task'}"})
    path = directory or Path("runs") / settings.name
    settings = settled(settings, path)
    info = task_info(settings.task, settings.fitness)
    wanted = design(
        settings, info, compared_losses(info.contract, losses, candidates, settings.baseline), rung=rung, betas=betas_of(betas),
        tuning_seeds=tuning_seeds, seeds=seeds,
    )  # fmt: skip
    if picture is not None:
        check_picture(picture, info, wanted)
    try:
        rows = run_baselines(settings, wanted, path, click.echo)
        if picture is not None:
            write_picture(picture, rows, wanted)
            _tell("Picture:", picture)
    except KeyboardInterrupt:
        interrupted_in(path)


@main.command()
@reported
def tasks() -> None:
    """List tasks and contracts of evopo and of installed packages, with the package that each comes from."""
    from evo.display.tasks import tasks_text

    click.echo(tasks_text())


@main.command()
@reported
def env() -> None:
    """Print versions, hardware and the sandbox's guarantees on this machine, for a bug report."""
    from evo.display.views import environment_text

    click.echo(environment_text())


def _tell(what: str, path: Path) -> None:
    """Report a written file: on standard error if the file is a pipe or standard output, so that the two are not mixed."""
    from analysis.output.files import is_special

    click.echo(f"{what} {path}", err=is_special(path))
