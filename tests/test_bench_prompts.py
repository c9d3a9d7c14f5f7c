"""The benchmark of prompts counts what it says: useful replies at first try, after repair, and in all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from histories import History, history

from sandbox import known

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import bench_prompts


def trained(run: History, candidate: int, margin: float) -> None:
    run.archive.score_evaluation(run.begun(candidate), 0.5, metrics={"margin": margin})


def recorded(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of a made-up run, read as an arm of evopo's prompts and as the conversation of the paper's form."""
    with history(folder) as run:
        trained(run, run.seed("cross_entropy"), 10.0)
        trained(run, run.accepted(run.bred(1)), 2.0)  # useful
        refused = run.refused(run.bred(2))
        trained(run, run.accepted(run.bred(3, "repair", [refused])), 5.0)  # useful, a repair
        trained(run, run.accepted(run.bred(4), known.graph("focal")), 0.5)  # trains too little
        run.duplicate(run.bred(5), 1)
        run.archive.fail_proposal(run.replied(6), "prose")
        run.failed(run.accepted(run.bred(7), known.graph("focal")))
        return tuple(  # type: ignore[return-value]
            bench_prompts.figures_of(arm, [list(bench_prompts.answers(run.reader, chat=arm == "paper"))])
            for arm in ("json", "paper")
        )


def test_shares_of_useful_replies(tmp_path: Path) -> None:
    ours, paper = recorded(tmp_path)
    shares = {name: figure.note.partition(",")[0] for name, figure in (ours | paper).items()}
    assert shares == {
        "json, first try": "1 of 6",
        "json, after repair": "2 of 6",
        "json, all": "2 of 7",
        "paper, first try": "1 of 5",  # the replies after the refused loss and after the prose are repairs
        "paper, after repair": "2 of 5",
        "paper, all": "2 of 7",
    }
    assert "1 does not train, 1 duplicate, 1 no loss, 1 refused, 1 training failed, 2 useful" in ours["json, all"].note


def test_campaigns_of_one_arm_are_counted_together_each_with_its_own_repairs() -> None:
    useful, refused = (bench_prompts.Answered(1, what == "useful", None, what, what) for what in ("useful", "refused"))
    repair = bench_prompts.Answered(2, True, 1, "useful", "useful")
    figures = bench_prompts.figures_of("small", [[useful], [refused, repair], [refused]])
    assert [figure.note.partition(",")[0] for figure in figures.values()] == ["1 of 3", "2 of 3", "2 of 4"]
    assert figures["small, all"].note.endswith("1 different useful losses")


def test_the_templates_of_the_paper_s_form_are_usable(tmp_path: Path) -> None:
    from evo.proposing.briefing import checked
    from evo.proposing.prompting import Templates

    for name, text in bench_prompts.PAPER.items():
        (tmp_path / name).write_text(text)
    assert checked(Templates.of(tmp_path)).version


def test_the_recipe_for_small_models_has_short_prompts_and_a_grammar_of_its_contract() -> None:
    from evo.config.schema import load_config
    from evo.proposing.briefing import checked
    from evo.proposing.prompting import Briefing, ParentView, TaskView, Templates, render
    from evo.proposing.reply.reply import ReplyFormat
    from fitness.chat.request import tokens_bound
    from sandbox.contracts.contract import PREFERENCE

    recipe = load_config(bench_prompts.RECIPE)
    parent = ParentView(known.load("dpo").source, "dpo")
    for operator in ("explore", "refine", "combine", "repair"):
        briefing = Briefing(PREFERENCE, TaskView("sentiment", "reward"), (parent, parent))
        messages = render(
            operator, briefing, ReplyFormat(recipe.llm.reply), checked(Templates.of(recipe.prompt.templates))
        )
        assert tokens_bound(messages) < 1100
    assert f"def my_loss({PREFERENCE.signature}):" in recipe.llm.extra_body["grammar"]
