"""All tables of MT-Bench, and its picture."""

from __future__ import annotations

from pathlib import Path

from analysis.benchmarks.mt_bench.grades import HIGHEST, LOWEST, categories, line, ranked, scores, trainings
from analysis.benchmarks.mt_bench.judged import BASELINE, REFERENCE, by_judge
from analysis.benchmarks.mt_bench.preferences import positions, win_rates
from analysis.benchmarks.results import ResultTable, Rows
from analysis.output.encode import label_text
from analysis.output.errors import NothingToDraw
from analysis.output.files import write_whole
from analysis.plots.canvas import png, svg
from analysis.plots.radar import draw_radar


def tables(rows: Rows) -> list[ResultTable]:
    """The tables of each judge; none without judgements."""
    found: list[ResultTable] = []
    for judged in by_judge(rows):
        if judged.singles:
            found += [scores(judged), categories(judged)]
            if any(len(policies) > 1 for policies in rows.systems.values()):
                found.append(trainings(judged))
        if judged.comparisons:
            found += [win_rates(judged), positions(judged)]
    return found


def draw(rows: Rows, path: Path) -> None:
    """The radar picture of the grades by the last judge, as .svg or .png by the file's name. Raises AnalysisError."""
    judged = next((judged for judged in reversed(by_judge(rows)) if judged.singles), None)
    if judged is None:
        raise NothingToDraw(
            "no single answer was graded, so there is no radar picture; evaluate with mode single or both"
        )
    lines = {name: line(judged, name) for name in ranked(judged)}
    landmarks = [lines.pop(name) for name in (BASELINE, REFERENCE) if name in lines]
    title = f"MT-Bench: grades by {label_text(judged.judge)}, bars are one standard error"
    figure = draw_radar(judged.categories, landmarks, [*lines.values()], LOWEST, HIGHEST, title)
    described = "Mean grade of each policy by category of MT-Bench, as a radar picture"
    write_whole(path, png(figure) if path.suffix == ".png" else svg(figure, "mt-bench", described))
