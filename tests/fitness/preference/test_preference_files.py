"""Faults of model, tokenizer and data are found without torch, all at once."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fitness.preference.checks import faults, faults_online
from fitness.preference.options import Options
from fitness.task import TaskError, check_task

ROOT = Path(__file__).parents[3]
HEADER = {"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


def save_weights(path: Path, missing: int = 0) -> None:
    header = json.dumps(HEADER).encode()
    path.write_bytes((struct.pack("<Q", len(header)) + header + bytes(8))[: -missing or None])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The files of a model, as far as they are looked at."""
    folder = tmp_path / "model"
    folder.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 64}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    save_weights(folder / "model.safetensors")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n' * 20)
    return path


def found(model: Path, data: Path, **changes: Any) -> list[str]:
    given = {"model": str(model), "data": str(data), "max_length": 32, "pairs": 8, "batch_size": 4} | changes
    return faults(Options.model_validate(given))


def only(lines: list[str]) -> str:
    assert len(lines) == 1, lines
    return lines[0]


def test_complete_files_have_no_faults(model, data):
    assert found(model, data) == []


def test_the_checks_do_not_load_torch(model, data):
    given = {"model": str(model), "data": str(data), "max_length": 32, "pairs": 8, "batch_size": 4}
    program = f"from fitness.task import check_task; check_task('preference', {given}); import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_all_faults_are_found_together(model, data):
    (model / "tokenizer.json").unlink()
    data.write_text('{"chosen": "a"}\n')
    lines = found(model, data, max_length=100)
    assert [line.partition(": ")[0] for line in lines] == ["fitness.max_length", "fitness.model", "fitness.data"]
    with pytest.raises(TaskError) as caught:
        check_task("preference", {"model": "/gone", "data": "/gone.jsonl"})
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_file_that_is_no_json_is_named(model, data, name):
    (model / name).write_text("{broken")
    assert f"{name} is not valid JSON" in only(found(model, data))


def test_a_folder_without_a_configuration_is_no_model(model, data):
    (model / "config.json").unlink()
    assert "has no config.json" in only(found(model, data))


def test_weights_that_are_not_there_or_cut_off(model, data):
    save_weights(model / "model.safetensors", missing=1)
    assert "model.safetensors is truncated" in only(found(model, data))
    (model / "model.safetensors").unlink()
    assert "has no weights" in only(found(model, data))


def test_a_shard_that_is_missing_is_named(model, data):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks the weights model-00002-of-00002.safetensors" in only(found(model, data))


def test_a_reward_model_is_checked_like_the_model(model, data, tmp_path):
    reward = {"by": "reward_model", "model": str(model), "max_new_tokens": 8}
    assert "fitness.evaluation.model: " in only(found(model, data, evaluation=reward))
    assert "is a language model" in only(found(model, data, evaluation=reward))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("{broken\n", "line 1 of"),
        ("[1, 2]\n", "row 1 of"),
        ('{"prompt": "p", "accepted": "a"}\n', "no column 'chosen' and no column 'rejected', only prompt, accepted"),
        ('{"chosen": "a", "rejected": "b"}\n' * 11, "has 11 pairs"),
    ],
    ids=["empty", "broken", "array of numbers", "other columns", "too few"],
)
def test_data_that_cannot_be_used(model, data, content, words):
    data.write_text(content)
    assert words in only(found(model, data))


def test_data_in_other_forms(model, data, tmp_path):
    rows = [{"chosen": "a", "rejected": "b"}] * 20
    array = tmp_path / "pairs.json"
    array.write_text(json.dumps(rows))
    assert found(model, array) == []
    assert "no known format" in only(found(model, _text(tmp_path)))
    assert "test_split" in only(found(model, data, test_split="test"))


def _text(folder: Path) -> Path:
    path = folder / "pairs.txt"
    path.write_text("x")
    return path


def test_saved_data_sets_are_looked_into(model, tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "saved"
    rows = datasets.Dataset.from_list([{"chosen": "a", "prompt": "p"}] * 20)
    datasets.DatasetDict({"train": rows}).save_to_disk(folder)
    assert "no column 'rejected'" in only(found(model, folder))
    assert "has no split 'dev': choose one of train" in only(found(model, folder, train_split="dev"))
    (folder / "train" / "state.json").write_text("{}")
    assert "saved is not a complete data set of save_to_disk" in only(found(model, folder))
    assert "fitness.data: " in only(found(model, model))


def test_folders_of_files_are_looked_into_without_torch(model, tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "data").mkdir()
    train, test = tmp_path / "data" / "train.jsonl", tmp_path / "data" / "test.jsonl"
    for path in (train, test):
        path.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n' * 20)
    given = {"model": str(model), "data": str(tmp_path / "data"), "max_length": 32, "pairs": 8, "batch_size": 4}
    given["test_split"] = "test"
    program = f"from fitness.task import check_task; check_task('preference', {given}); import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    test.write_text('{"prompt": "p", "chosen": "a", "rejected": 5}\n' * 20)
    assert "row 1 of the split 'test': column 'rejected' holds a number" in only(
        found(model, tmp_path / "data", test_split="test")
    )
    assert "has 20 pairs, fewer than pairs=21" in only(found(model, tmp_path / "data", test_split="train", pairs=21))


def test_a_probable_prompt_that_is_not_read_is_named(model, data):
    data.write_text('{"question": "p", "chosen": "a", "rejected": "b"}\n' * 20)
    assert (
        "fitness.data: the data has no column 'prompt' but 'question': set fitness.columns={prompt: question}"
        in only(found(model, data))
    )
    assert found(model, data, columns={"prompt": "question"}) == []


def test_several_pairs_on_a_line_are_all_counted(model, data):
    data.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}' * 20)
    assert found(model, data) == []


def test_parquet_is_looked_into(model, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    path = tmp_path / "pairs.parquet"
    write_table(pyarrow.table({"chosen": ["a"] * 20, "rejected": ["b"] * 20}), path)
    assert found(model, path) == []
    write_table(pyarrow.table({"chosen": ["a"] * 20}), path)
    assert "no column 'rejected'" in only(found(model, path))
    path.write_bytes(b"PAR1 and nothing else")
    assert "is not a valid parquet file" in only(found(model, path))


def test_a_name_on_the_hub_is_asked_for_where_the_network_may_be_used(monkeypatch):
    options = Options.model_validate({"model": "owner/model", "data": "owner/data"})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert faults(options) == []
    assert faults_online(options) == []
