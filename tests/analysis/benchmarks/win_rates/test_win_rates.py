"""A judge's bias shows as it should: both orders cancel the one to the first position, length control removes the one to length."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from compared_answers import judged_rows

from analysis.benchmarks import alpaca_eval, tldr
from analysis.benchmarks.results import Rows, text_of
from analysis.benchmarks.win_rates.comparisons import UNKNOWN, pairs
from analysis.benchmarks.win_rates.length_control import Sample, length_controlled
from archive.judgements import PolicyRow
from fitness.benchmarks.alpaca_eval.benchmark import AlpacaEval
from fitness.benchmarks.alpaca_eval.options import AlpacaEvalOptions
from fitness.benchmarks.protocol import JudgeReply
from fitness.benchmarks.tldr.benchmark import Tldr
from fitness.benchmarks.tldr.options import TldrOptions

COUNT = 120


def answer(quality, characters):
    """An answer whose text says how good it is; the rest is filler."""
    return f"{quality:.3f} ".ljust(max(6, round(characters)), "x")


def writer(quality, characters, seed=0, spread=0.3):
    """A policy: `quality` and length vary by question and seed."""

    def write(question):
        rng = random.Random(f"{seed} {question}")
        return answer(quality + rng.gauss(0, 0.5), characters * math.exp(spread * rng.gauss(0, 1)))

    return write


def judge(first_bonus=0.0, per_log_length=0.0, logprobs=True):
    """Replies by the quality that the texts name, plus its biases."""

    def reply(instruction, first, second):
        gain = float(first.split()[0]) - float(second.split()[0]) + first_bonus
        gain += per_log_length * (math.log(len(first)) - math.log(len(second)))
        odds = {"m": -math.log1p(math.exp(-gain)), "M": -math.log1p(math.exp(gain))}
        return JudgeReply("m" if gain > 0 else "M", odds if logprobs else {})

    return reply


@pytest.fixture
def benchmark(tmp_path):
    def make(**options):
        own = writer(0.0, 300, seed=99)
        rows = [
            {"instruction": f"Task {n}", "output": own(f"Task {n}"), "generator": "gpt4", "dataset": "set"}
            for n in range(COUNT)
        ]
        path = tmp_path / "outputs.json"
        path.write_text(json.dumps(rows))
        return AlpacaEval(AlpacaEvalOptions(instructions=str(path), **options))

    return make


def cells(rows, row, table=0, of=alpaca_eval):
    return row_of(of.tables(rows)[table], row)


def row_of(table, row):
    return dict(zip(table.columns[1:], dict(table.rows)[row], strict=True))


EQUAL = {"dpo": {1: writer(0.0, 300, 1)}}
LONGER = {"dpo": {1: writer(0.0, 600, 1)}}


def test_both_orders_cancel_the_position_bias_and_its_size_is_shown(benchmark) -> None:
    fair = cells(judged_rows(benchmark(), EQUAL, judge()), "dpo")
    biased = cells(judged_rows(benchmark(), EQUAL, judge(first_bonus=1.5)), "dpo")
    assert biased["win rate %"].value == pytest.approx(fair["win rate %"].value, abs=2)
    assert fair["position bias %"].value == pytest.approx(0, abs=1e-9)
    expected = 100 * (1 / (1 + math.exp(-1.5)) - 0.5)  # of answers of equal quality
    assert biased["position bias %"].value == pytest.approx(expected, abs=5)
    assert biased["position bias %"].error < 1


def test_a_single_random_order_keeps_the_bias_as_noise_and_the_table_says_so(benchmark) -> None:
    rows = judged_rows(benchmark(orders="random"), EQUAL, judge(first_bonus=1.5))
    assert len(rows.judgements) == COUNT
    (table,) = alpaca_eval.tables(rows)
    assert any("one order only" in note for note in table.notes)
    found = cells(rows, "dpo")
    assert found["position bias %"].value is None
    both = cells(judged_rows(benchmark(), EQUAL, judge(first_bonus=1.5)), "dpo")
    assert found["win rate %"].error > 1.2 * both["win rate %"].error


def test_length_control_removes_the_length_bias_and_its_size_is_shown(benchmark) -> None:
    fair = cells(judged_rows(benchmark(), LONGER, judge()), "dpo")
    biased = cells(judged_rows(benchmark(), LONGER, judge(per_log_length=1.5)), "dpo")
    assert biased["win rate %"].value > fair["win rate %"].value + 15
    assert biased["length-controlled %"].value == pytest.approx(fair["win rate %"].value, abs=6)
    assert biased["from length %"].value > 12 > 5 * abs(fair["from length %"].value)
    assert biased["from length %"].error < 6
    assert biased["characters"].value == pytest.approx(600, rel=0.1)


def test_a_better_policy_wins_at_any_length(benchmark) -> None:
    found = cells(judged_rows(benchmark(), {"lrml": {1: writer(1.0, 300, 1)}}, judge(per_log_length=1.0)), "lrml")
    assert found["length-controlled %"].value > 62
    assert (found["paper %"].value, found["paper length-controlled %"].error) == (13.21, 0.67)


def test_each_opponent_has_a_table_of_its_own_and_the_reference_meets_the_data(benchmark) -> None:
    rows = judged_rows(benchmark(), {"reference": {None: writer(-0.5, 300)}, **EQUAL}, judge())
    data, reference = alpaca_eval.tables(rows)
    assert (data.title, reference.title) == ("AlpacaEval 2.0 against gpt4", "AlpacaEval 2.0 against reference")
    assert [name for name, _ in data.rows] == ["reference", "dpo"]
    assert [name for name, _ in reference.rows] == ["dpo"]
    assert row_of(reference, "dpo")["paper %"].value == 78.72
    assert row_of(data, "reference")["paper %"].note == "not published"
    assert row_of(data, "reference")["win rate %"].value < row_of(data, "dpo")["win rate %"].value


def test_seeds_of_one_loss_are_one_row_whose_error_covers_them(benchmark) -> None:
    apart = {"dpo": {1: writer(-1.0, 300, 1), 2: writer(1.0, 300, 2)}}
    alike = {"dpo": {1: writer(0.0, 300, 1), 2: writer(0.0, 300, 2)}}
    found, fair = (cells(judged_rows(benchmark(), losses, judge()), "dpo") for losses in (apart, alike))
    assert found["win rate %"].value == pytest.approx(50, abs=6)
    assert found["win rate %"].error > 10 > 3 * fair["win rate %"].error
    assert found["length-controlled %"].error > 10


def test_replies_without_a_grade_are_counted_and_their_pairs_left_out(benchmark) -> None:
    fair, asked = judge(), []

    def moody(instruction, first, second):
        asked.append(instruction)
        return JudgeReply("I cannot judge this.") if len(asked) % 8 == 1 else fair(instruction, first, second)

    found = cells(judged_rows(benchmark(), EQUAL, moody), "dpo")["win rate %"]
    assert (found.n, found.ungraded) == (COUNT - COUNT // 4, COUNT // 4)  # 240 replies, one in eight
    nonsense = cells(judged_rows(benchmark(), EQUAL, lambda *_: JudgeReply("Bananas.")), "dpo")
    assert (nonsense["win rate %"].value, nonsense["win rate %"].ungraded) == (None, 2 * COUNT)
    assert nonsense["length-controlled %"].note == "no graded pair"


def test_of_several_judgements_of_a_pair_the_last_counts(benchmark) -> None:
    rows = judged_rows(benchmark(), EQUAL, judge())
    again = [
        replace(row, id=row.id + 1000, grade=None if row.grade is None else 1 - row.grade) for row in rows.judgements
    ]
    found = cells(Rows(rows.policies, rows.answers, (*rows.judgements, *again)), "dpo")["win rate %"]
    assert found.value == pytest.approx(100 - cells(rows, "dpo")["win rate %"].value)
    assert (found.n, found.ungraded) == (COUNT, 0)


def test_judges_and_prompts_are_not_mixed(benchmark) -> None:
    rows = judged_rows(benchmark(), EQUAL, judge())
    other = [replace(row, id=row.id + 1000, judge="another") for row in rows.judgements]
    assert len(alpaca_eval.tables(Rows(rows.policies, rows.answers, (*rows.judgements, *other)))) == 2


def test_without_the_datas_answers_there_is_a_win_rate_and_no_length_control(benchmark) -> None:
    rows = judged_rows(benchmark(), EQUAL, judge())
    own = {row.id for row in rows.answers if row.policy_id == 1}
    bare = [
        replace(row, first=0 if row.first in own else row.first, second=0 if row.second in own else row.second)
        for row in rows.judgements
    ]
    kept = Rows(
        tuple(p for p in rows.policies if p.id != 1), tuple(a for a in rows.answers if a.id not in own), tuple(bare)
    )
    assert [opponent.name for opponent in pairs(kept, str)] == [UNKNOWN]
    found = cells(kept, "dpo")
    assert found["win rate %"].value == cells(rows, "dpo")["win rate %"].value
    assert (found["length-controlled %"].value, found["length-controlled %"].note) == (
        None, "the opponent's answers are not recorded",
    )  # fmt: skip


def test_the_loss_dpo_is_the_opponent_where_there_is_no_reference(benchmark) -> None:
    rows = judged_rows(
        benchmark(against=["reference"]), {"reference": {None: writer(0, 300)}, "lrml": {1: writer(0, 300, 3)}}, judge()
    )
    as_dpo = [replace(p, kind="trained", loss="dpo", name="dpo") if p.kind == "reference" else p for p in rows.policies]
    (table,) = alpaca_eval.tables(Rows(tuple(as_dpo), rows.answers, rows.judgements))
    assert (table.title, [name for name, _ in table.rows]) == ("AlpacaEval 2.0 against the policy dpo", ["lrml"])


def test_hostile_names_do_not_reach_the_terminal(benchmark) -> None:
    rows = judged_rows(benchmark(), EQUAL, judge())
    hostile = replace(rows.policies[1], name="\x1b[2J", loss="\x1b[2J")
    assert isinstance(hostile, PolicyRow)
    shown = "\n".join(
        map(text_of, alpaca_eval.tables(Rows((rows.policies[0], hostile), rows.answers, rows.judgements)))
    )
    assert "\x1b" not in shown and "AlpacaEval 2.0 against gpt4" in shown


def test_the_mark_that_a_model_repeats_has_no_length(tmp_path) -> None:
    path = tmp_path / "posts.jsonl"
    own = writer(0.0, 80, seed=99)
    path.write_text(
        "\n".join(json.dumps({"prompt": f"POST: {n}\n\nTL;DR:", "completion": own(str(n))}) for n in range(20))
    )
    written = {"dpo": {1: lambda text: "TL;DR: " + answer(0.2, 50)}}
    rows = judged_rows(Tldr(TldrOptions(posts=str(path))), written, judge())
    found = cells(rows, "dpo", of=tldr)
    assert found["characters"].value == 50
    assert found["paper %"].value == 88.27
    assert found["length-controlled %"].value is not None


def test_the_file_of_gamed_baselines_makes_the_form_that_the_leaderboard_has(benchmark, tmp_path) -> None:
    rng = random.Random(4)
    hard = [rng.gauss(0, 1) for _ in range(COUNT)]
    gamed = [
        (m, n, round(rng.random(), 3), round(rng.gauss(2 * m - 1, 1), 3), hard[n]) for m in (0, 1) for n in range(COUNT)
    ]
    path = tmp_path / "df_gamed.csv"
    lines = [f"{m},{n},{liked},{shorter},{difficulty}" for m, n, liked, shorter, difficulty in gamed]
    path.write_text("\n".join(["model,index,preference,std_delta_len,instruction_difficulty", *lines]))
    rows = judged_rows(benchmark(gamed=str(path)), LONGER, judge(per_log_length=1.5))
    (table,) = alpaca_eval.tables(rows)
    assert any("length_controlled_v1" in note for note in table.notes)

    found = pairs(rows, str)
    ((own,),) = [judged.values() for judged in found.values()]
    order = [int(pair.question) for pair in own]
    # By instruction, then baseline: the order in which the facts of questions come. The file has baseline minus gamed.
    _, _, liked, shorter, difficulty = np.array(sorted(gamed, key=lambda row: (row[1], row[0])), float).T
    sample = Sample(
        tuple(pair.question for pair in own),
        np.array([pair.preference for pair in own]),
        np.array([float(len(pair.ours) - len(pair.theirs or "")) for pair in own]),
        np.array([hard[n] for n in order]),
        (liked, -shorter, difficulty),
    )
    expected = 100 * length_controlled(sample).rate
    assert cells(rows, "dpo")["length-controlled %"].value == pytest.approx(expected, abs=1e-6)
