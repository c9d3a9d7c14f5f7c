"""Data with two responses and the number of the chosen one: read as it is, strictly."""

import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

sys.path.insert(0, str(Path(__file__).parent))
from test_pairs import COUNT, all_rows, load, options, plain, refused, save, turns

from fitness.preference.options import Options

Row = dict[str, Any]
CHOSEN = [(7 * number) % 3 % 2 for number in range(COUNT)]
"""Number of the chosen response by row, from 0."""


def stored(make: Any, rows: list[Row] | None = None) -> list[Row]:
    """The pairs of `plain`, with what `make` makes of the two responses, in order of their numbers, and the chosen one's number."""
    found = []
    for row, number in zip(rows or plain(), CHOSEN, strict=True):
        both = (row["chosen"], row["rejected"]) if number == 0 else (row["rejected"], row["chosen"])
        found.append({"prompt": row["prompt"], **make(*both, number)})
    return found


FORMS: dict[str, tuple[Any, Row]] = {
    "a list": (lambda a, b, n: {"responses": [a, b], "chosen": n}, {}),
    "an object": (lambda a, b, n: {"responses": {"response_0": a, "response_1": b}, "chosen": n}, {}),
    "an object in another order": (lambda a, b, n: {"responses": {"b": b, "a": a}, "chosen": "ab"[n]}, {}),
    "two columns": (lambda a, b, n: {"response_0": a, "response_1": b, "preferred": n}, {}),
    "two columns from 1": (lambda a, b, n: {"output_1": a, "output_2": b, "chosen": n + 1}, {}),
    "two columns of letters": (lambda a, b, n: {"answer_A": a, "answer_B": b, "chosen": "AB"[n]}, {}),
    "named": (lambda a, b, n: {"response_0": a, "response_1": b, "label": n}, {"preferred": "label"}),
    "both named": (lambda a, b, n: {"texts": [a, b], "id": n}, {"responses": "texts", "preferred": "id"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_number_chooses_the_response(form, tmp_path):
    make, columns = FORMS[form]
    pairs = load(save(tmp_path / "data.jsonl", stored(make)), columns=columns or None)
    assert sorted(all_rows(pairs), key=str) == sorted(plain(), key=str)
    assert pairs.unread == ()


def test_responses_may_be_conversations(tmp_path):
    rows = stored(lambda a, b, n: {"responses": [a, b], "chosen": n}, turns())
    pairs = load(save(tmp_path / "data.jsonl", rows))
    assert pairs.conversational
    assert sorted(all_rows(pairs), key=str) == sorted(turns(), key=str)


def test_columnar_files_are_read_alike(tmp_path):
    rows = stored(lambda a, b, n: {"responses": {"response_0": a, "response_1": b}, "chosen": n})
    Dataset.from_list(rows).to_parquet(tmp_path / "data.parquet")
    assert sorted(all_rows(load(tmp_path / "data.parquet")), key=str) == sorted(plain(), key=str)


def listed(a: str, b: str, n: Any) -> Row:
    return {"responses": [a, b], "chosen": n}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"chosen": 2}, "column 'chosen' holds 2: expected 0 or 1, the number of the chosen response"),
        ({"chosen": -1}, "column 'chosen' holds -1: expected 0 or 1"),
        ({"chosen": None}, "column 'chosen' holds a null: expected 0 or 1"),
        ({"chosen": True}, "column 'chosen' holds True: expected 0 or 1"),
        ({"chosen": "0"}, "column 'chosen' holds the text '0': expected 0 or 1"),
        ({"responses": ["a"]}, "column 'responses' holds 1 responses: expected a list of two responses"),
        ({"responses": ["a", "b", "c"]}, "column 'responses' holds 3 responses: expected a list of two responses"),
        ({"responses": "a"}, "column 'responses' holds the text 'a': expected a list of two responses"),
        ({"responses": None}, "column 'responses' holds a null: expected a list of two responses"),
        ({"responses": {"x": "a", "y": "b"}}, "column 'responses' holds an object with x, y: expected"),
        ({"responses": [{"role": "user", "content": "a"}] * 2}, "column 'responses' holds a list of two objects"),
    ],
)
def test_any_other_row_is_refused_with_its_number(changed, told, tmp_path):
    rows = stored(listed)
    rows[4] |= changed
    detail = refused(save(tmp_path / "data.jsonl", rows))
    assert detail.startswith("row 5 of the split 'train'")
    assert told in detail


def test_a_number_beyond_the_names_is_refused_though_it_is_0_or_1(tmp_path):
    rows = stored(lambda a, b, n: {"output_1": a, "output_2": b, "chosen": n})
    assert "column 'chosen' holds 0: expected 1 or 2" in refused(save(tmp_path / "data.jsonl", rows))


@pytest.mark.parametrize("both", [lambda a, b: {"responses": [a, b]}, lambda a, b: {"response_0": a, "response_1": b}])
def test_a_column_whose_meaning_is_a_guess_has_to_be_named(both, tmp_path):
    """In some data sets a label of 1 says that the first response is better."""
    data = save(tmp_path / "data.jsonl", stored(lambda a, b, n: {**both(a, b), "label": n}))
    assert "fitness.columns={preferred: ...}" in refused(data)


def test_a_number_without_responses_is_refused(tmp_path):
    data = save(tmp_path / "data.jsonl", [row | {"better": 0} for row in plain()])
    assert "the data has no two responses, only prompt, chosen, rejected, better" in refused(
        data, columns={"preferred": "better"}
    )


def test_pairs_are_named_in_one_way(tmp_path):
    with pytest.raises(ValueError, match="of chosen and rejected, or of responses and preferred, not of both"):
        options(tmp_path, columns={"responses": "r", "rejected": "b"})


# ---- parts by pair ---------------------------------------------------------------------------------------------------


def short(prompt: str = "This film", count: int = COUNT) -> list[Row]:
    return [{"prompt": prompt, "chosen": f" was good {i}", "rejected": f" was bad {i}"} for i in range(count)]


def test_pairs_of_one_prompt_are_refused_by_default_and_the_option_is_named(tmp_path):
    assert "set fitness.split_by=pair" in refused(save(tmp_path / "data.jsonl", short()))


def test_pairs_of_one_prompt_are_all_kept_when_they_are_split_by_pair(tmp_path):
    pairs = load(save(tmp_path / "data.jsonl", short()), split_by="pair")
    assert sorted(all_rows(pairs), key=str) == sorted(short(), key=str)
    assert {name: len(part) for name, part in pairs.parts.items()} == {"train": 24, "search": 8, "held_out": 8}
    (remark,) = pairs.remarks
    assert "16 of 16 test pairs have the prompt of a training pair. There are 1 different test prompts" in remark


def test_no_pair_is_in_two_parts_in_either_order(tmp_path):
    turned = [row | {"chosen": row["rejected"] + " ", "rejected": row["chosen"]} for row in short()]
    pairs = load(save(tmp_path / "data.jsonl", [*short(), *turned]), split_by="pair")
    found = [
        {frozenset(row[s].strip() for s in ("chosen", "rejected")) for row in part} for part in pairs.parts.values()
    ]
    assert sum(map(len, found)) == len(set.union(*found)) == COUNT


def test_a_training_pair_that_is_a_test_pair_is_left_out(tmp_path):
    save(tmp_path / "data" / "train.jsonl", short())
    save(tmp_path / "data" / "test.jsonl", [*short()[:5], *short("That film", 8)])
    pairs = load(tmp_path / "data", split_by="pair", test_split="test")
    assert dict(pairs.left_out) == {"the prompt and the completions of a test pair": 5}
    assert len(pairs.train) == COUNT - 5


def test_the_same_pair_everywhere_is_refused(tmp_path):
    data = save(tmp_path / "data.jsonl", short(count=1) * COUNT)
    assert f"all {COUNT} pairs for train and test are the same pair" in refused(data, split_by="pair")


def test_runs_that_are_older_than_these_options_keep_their_identity(tmp_path):
    from fitness.preference.options import essential

    given: Options = options(tmp_path)
    assert not {"split_by", "sampling_seeds"} & essential(given).keys()
    assert essential(options(tmp_path, split_by="pair"))["split_by"] == "pair"
