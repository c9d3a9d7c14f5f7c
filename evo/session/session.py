"""One session of a campaign: set up its parts, run the main loop, print the result, and stop all processes."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TextIO

from rich.text import Text

from analysis.wording import count
from archive.disk.files import open_regular, there
from archive.query import Reader
from archive.records import STUDIES, EventKind
from archive.store import Archive
from evo.campaign.asking.endpoint_monitor import EndpointMonitor
from evo.campaign.backlog import add_seed_losses
from evo.campaign.injections import untried
from evo.campaign.loop import Campaign, CampaignStopped
from evo.campaign.training import TaskUnusable, ready, recorded
from evo.config.rundir import RunDir, RunDirError, open_run
from evo.config.schema import Config
from evo.display.console import Console
from evo.display.progress import watching
from evo.proposing.prompting import Templates
from evo.proposing.propose import Proposer, templates
from evo.search.budget_split import budget_forecast
from evo.search.population import Population
from evo.search.seed_losses import require_seed_losses
from evo.search.selection.select import SELECTION, SELECTION_VERSION
from evo.session.earlier_session import changed_task, changes, finished, in_words, last_settings
from evo.session.extras import missing_pictures_note, require_training
from evo.session.power import detectable_difference_note, items_warning
from evo.session.preflight import preflight
from evo.session.signals import ended_by_signals, interruptible
from evo.session.warm_start import described, read_given, refuse_new, vetted
from fitness.task import TaskInfo, task_info
from fitness.workers.devices import visible_gpus
from fitness.workers.pool import DEFAULT_LAUNCHER, WorkerPool
from sandbox.verdicts.unavailable import SandboxUnavailable
from sandbox.verdicts.visible import visible
from sandbox.vetting.pool import VetPool, WorkerFailed

__all__ = ["CampaignStopped", "run_session"]

LOG_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT
"""All sessions append to the log. It is the only file of a run directory, apart from the archive, that is written in place."""

_LOG = logging.getLogger(__name__)


@ended_by_signals()
def run_session(config: Config, path: Path, say: Callable[[str], None], seed_from: Sequence[str] = ()) -> None:
    """Run or resume a campaign in `path`, print the leaderboard and write the report. A finished run is only read.

    `seed_from`: files, folders and runs with seed losses of the user (`evo.session.warm_start`). Raises FinishedRun if the run was
    made with other settings, CampaignStopped, ConfigError, RunDirError, ArchiveError, LLMError, and KeyboardInterrupt after Ctrl-C,
    SIGTERM or SIGHUP. All of them are raised after every process has ended and the archive is closed.
    """
    info = task_info(config.task, config.fitness)
    given = read_given(seed_from, info.contract, path)
    if not there(RunDir(path).archive):
        require_seed_losses(config, info)
    population = Population(config, info, workers_for(config))
    ended = finished(path, config, info, population)
    if ended:
        refuse_new(given, config, info.contract, path, ended)
        larger = "".join(f" --set {key}={value:.12g}" for key, value in ended.larger.items())
        say(f"{path} is finished: {ended.reason}." + (f" To go on, add to the same command:{larger}" if larger else ""))
        _closing(config, RunDir(path), say)
        return
    require_training()
    if config.pictures and (note := missing_pictures_note()):
        say(note)
    pool = worker_pool(config)
    own = vetted(given, config, info.contract, path)  # before anything is paid
    before_it = there(RunDir(path).archive)
    cleared = None if before_it else preflight(config, info)  # before anything is created
    rundir, archive, resumed = open_run(path, config, info, templates(config, info.contract), population.baseline_name)
    with archive, Reader.open(rundir.archive) as reader:
        Templates.of(config.prompt.templates).keep(rundir.templates)
        _log_to(rundir.log)
        say = _logged(say)
        population.advance(reader)
        before = last_settings(reader)
        cleared = cleared or preflight(config, info)
        replaces = " It replaces a run with other settings that had no result." if before_it and not resumed else ""
        say(f"Run {config.name} with seed {config.seed} in {path}" + (", resumed." if resumed else f".{replaces}"))
        for line in filter(None, (info.opening, cleared.which, *cleared.notes)):
            say(line)
        archive.event(
            EventKind.SESSION_STARTED,
            {"config": config.model_dump(mode="json"), "fitness": info.described(), SELECTION: SELECTION_VERSION},
        )
        for to, paid in cleared.paid.items():
            archive.charge(to, recorded(paid))
        if resumed:
            _resume(archive, reader, config, before, say)
            if told := changed_task(reader, info):
                say(told)
        if own:
            add_seed_losses(archive, reader, population.seed_losses, own)
            say(described(own))
        say(f"Training: {population.workers} worker{'s' * (population.workers > 1)}, rungs " + _rungs(info))
        say(detectable_difference_note(info, population.ladder))
        for line in budget_forecast(config, population.advance(reader)):
            say(line)
        try:
            reason = asyncio.run(interruptible(_campaign(config, archive, reader, population, cleared.proposers, pool)))
        except BaseException as error:
            _LOG.info("Stopped: %s %s", type(error).__name__, error)
            raise
        say(f"Search ended: {reason}.")
        if late := untried(reader):
            say(
                f"{count(len(late), 'injected loss', 'injected losses')} came after the search: a larger budget is needed."
            )
    _closing(config, rundir, say)


def workers_for(config: Config) -> int:
    """Number of training processes: as configured, else one per GPU, else one per core up to four."""
    if config.workers is not None:
        return config.workers
    return len(visible_gpus()) or max(
        1, min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    )


def worker_pool(config: Config) -> WorkerPool:
    """The pool of training processes of a configuration, not started yet. Raises TaskError."""
    return WorkerPool(
        config.task,
        config.fitness,
        workers_for(config),
        launcher=config.launcher or DEFAULT_LAUNCHER,
        threads=config.threads,
        timeout=config.timeout_seconds,
    )


async def _campaign(
    config: Config,
    archive: Archive,
    reader: Reader,
    population: Population,
    proposers: Mapping[str, Proposer],
    pool: WorkerPool,
) -> str:
    async with AsyncExitStack() as stack:
        vetter = stack.enter_context(VetPool(workers=1, contract=population.info.contract))
        workers = await stack.enter_async_context(pool)
        for proposer in proposers.values():
            await stack.enter_async_context(proposer)
        console = Console()

        def tell(text: str) -> None:
            """Log a line, and print it above the progress view."""
            _LOG.info("%s", text)
            console.print(Text(text), soft_wrap=True)

        section = "proposers" if config.proposers is not None else "llm"
        monitor = EndpointMonitor(tell, config.search.give_up_after, section)
        campaign = Campaign(config, archive, reader, population, proposers, vetter, workers, monitor=monitor)
        await stack.enter_async_context(watching(campaign, console))
        try:
            await ready(workers, tell, archive)  # before the first proposal has a cost
            if few := items_warning(workers.judged, population.ladder):
                tell(few)
            return await campaign.run()
        except TaskUnusable as error:
            raise CampaignStopped(str(error)) from None
        except (WorkerFailed, SandboxUnavailable) as error:
            raise CampaignStopped(f"losses cannot be vetted: {error}") from error


def _resume(
    archive: Archive, reader: Reader, config: Config, before: Mapping[str, Any], say: Callable[[str], None]
) -> None:
    """Recover from a crash of the last session, and record changed settings."""
    recovery = archive.recover()
    lost = [row for p in recovery.lost if (row := reader.proposal(p)).operator not in STUDIES]
    if lost:
        steps = ", ".join(str(row.step) for row in lost)
        say(f"Interrupted and possibly paid: {count(len(lost), 'call')} (step {steps}).")
    if changed := changes(before, config):
        sections = {change.key.partition(".")[0] for change in changed}
        archive.event(EventKind.SETTINGS_CHANGED, config.model_dump(mode="json", include=sections))
        say(f"Settings changed since the last session: {in_words(changed)}.")


def _rungs(info: TaskInfo) -> str:
    return ", ".join(
        f"{r.name} ({r.steps} steps, about {r.estimated_seconds:.{0 if r.estimated_seconds >= 10 else 1}f} s)"
        for r in info.rungs.values()
    )


class _Visible(logging.Formatter):
    """Escapes control characters, since the log may be read on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), keep="\n")


class _LogFile(logging.StreamHandler[TextIO]):
    """Reports once if the log cannot be written, for example on a full disk. The archive has the same information."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._told:
            self._told = True
            print(f"The log can no longer be written: {sys.exc_info()[1]}", file=sys.stderr)


def _log_to(path: Path) -> None:
    try:
        descriptor = open_regular(path, LOG_FLAGS)
    except OSError as error:
        raise RunDirError(f"cannot write {path}: {error.strerror}; check its permissions") from None
    handler = _LogFile(os.fdopen(descriptor, "a", encoding="utf-8"))
    handler.setFormatter(_Visible("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for client in ("httpx", "httpx2"):  # they log the URL of every request; openai uses one of the two
        logging.getLogger(client).setLevel(logging.WARNING)


def _logged(say: Callable[[str], None]) -> Callable[[str], None]:
    """`say` that also writes to the log."""

    def both(text: str) -> None:
        say(text)
        if text:
            _LOG.info("%s", text)

    return both


def _closing(config: Config, rundir: RunDir, say: Callable[[str], None]) -> None:
    from analysis.output.errors import ExportRefused, MissingExtra
    from evo.display.views import leaderboard_text, write_report_file

    say("")
    say(leaderboard_text(rundir))
    try:
        path = write_report_file(rundir, None, pictures=config.pictures)
    except MissingExtra as error:
        say(f"The report has no pictures: {error}")
        path = write_report_file(rundir, None, pictures=False)
    except ExportRefused as error:  # the run itself is complete
        raise ExportRefused(f"{error} of `evopo report`") from None
    say(f"Report: {path}")
