"""CIFAR-10 in its published binary format: what is read, what is refused and where, and trainings on a few images."""

import os
import pickle
import shutil
from pathlib import Path

import pytest
from cifar10_files import NAMES, record, written
from pydantic import ValidationError

from fitness.classification import cifar10
from fitness.classification.task import Options, check, info, make
from fitness.task import EvaluationFailed, FailureReason, TaskError, task_info
from sandbox import known

torch = pytest.importorskip("torch")

FEW = {"dataset": "cifar10", "train_items": 24, "batch_size": 8, "epochs": 1, "short_epochs": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder that holds `cifar-10-batches-bin` with 8 images in each file."""
    return written(tmp_path_factory.mktemp("data") / "cifar-10-batches-bin").parent


@pytest.fixture
def own(data, tmp_path):
    """A copy that a test may damage: the folder of the files themselves."""
    return Path(shutil.copytree(data / "cifar-10-batches-bin", tmp_path / "mine"))


# ---- reading ---------------------------------------------------------------------------------------------------------


def test_an_image_is_its_label_then_red_green_and_blue_row_by_row(own):
    red = [row * 7 % 256 for row in range(32) for _ in range(32)]
    green = [column * 5 for _ in range(32) for column in range(32)]
    (own / "test_batch.bin").write_bytes(
        record(3, [0] * 1024, [0] * 1024, [0] * 1024) + record(9, red, green, [255] * 1024)
    )
    images, classes = cifar10.read_file(own / "test_batch.bin")
    assert (images.shape, classes.tolist()) == ((2, 3, 32, 32), [3, 9])
    assert [images[1, 0, row, 11] for row in range(32)] == [row * 7 % 256 for row in range(32)]
    assert [images[1, 1, 20, column] for column in range(32)] == [column * 5 for column in range(32)]
    assert (images[1, 2] == 255).all() and not images[0].any()


def test_the_five_batches_are_the_search_and_the_test_batch_is_held_out(own):
    for number, name in enumerate(NAMES):
        (own / f"{name}.bin").write_bytes(record(number, [number] * 1024, [0] * 1024, [0] * 1024) * (number + 1))
    loaded = cifar10.load_cifar10(own)
    assert loaded.search.classes.tolist() == [n for n in range(5) for _ in range(n + 1)]
    assert loaded.test.classes.tolist() == [5] * 6
    assert loaded.search.inputs.shape == (15, 3, 32, 32) and loaded.search.inputs.dtype == torch.uint8
    assert loaded.search.inputs[:, 0, 0, 0].tolist() == loaded.search.classes.tolist()


def test_both_the_folder_and_the_folder_around_it_are_found(data):
    around, itself = (list(cifar10.files_in(place)) for place in (data, data / "cifar-10-batches-bin"))
    assert around == itself
    assert [path.name for path in itself] == [f"{name}.bin" for name in NAMES]


def test_files_that_are_not_as_long_as_published_are_noted(own):
    for name in NAMES[1:]:
        with (own / f"{name}.bin").open("r+b") as file:  # zeros, which are valid images of class 0
            file.truncate(10_000 * 3_073)
    notes = cifar10.load_cifar10(own).notes
    assert notes == ("data_batch_1.bin holds 8 images; as published it has 10,000.",)


def test_the_note_reaches_the_user_of_the_task(data):
    task = make(Options(**FEW, data_dir=str(data)))
    task.prepare()
    assert len(task.notes) == 6 and "test_batch.bin holds 8 images" in task.notes[-1]


# ---- refusing --------------------------------------------------------------------------------------------------------


def cut(path):
    with path.open("r+b") as file:
        file.truncate(2 * 3_073 + 100)


def mislabelled(path):
    with path.open("r+b") as file:
        file.seek(5 * 3_073)
        file.write(b"\x0b")


def fifo(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "damage, told",
    [
        (cut, r"data_batch_4\.bin has 6,246 bytes, .* record 3 begins at byte 6,146 and is cut off at byte 6,246"),
        (mislabelled, r"data_batch_4\.bin: the class at byte 15,365 \(record 6\) is 11, expected 0 to 9"),
        (lambda path: path.write_bytes(b""), r"data_batch_4\.bin has 0 bytes, .*: it is empty"),
        (lambda path: path.unlink(), r"data_batch_4\.bin does not exist: get .*cifar-10-binary\.tar\.gz"),
        (fifo, r"data_batch_4\.bin is no regular file"),
        (
            lambda path: path.write_bytes(pickle.dumps([0] * 4000, 2)[:3_073]),
            r"the class at byte 0 \(record 1\) is 128, expected 0 to 9 \(the file begins as a pickle does\)",
        ),
    ],
    ids=["cut", "mislabelled", "empty", "missing", "fifo", "pickle"],
)  # fmt: skip
def test_a_damaged_file_is_named_with_the_byte(own, damage, told):
    damage(own / "data_batch_4.bin")
    with pytest.raises(EvaluationFailed, match=told) as failure:
        make(Options(**FEW, data_dir=str(own))).prepare()
    assert failure.value.reason is FailureReason.BAD_DATA


def test_more_records_than_scores_by_item_can_be_kept_are_refused_before_they_are_read(own):
    with (own / "test_batch.bin").open("r+b") as file:
        file.truncate(200_001 * 3_073)  # a sparse file
    with pytest.raises(EvaluationFailed, match=r"has 200,001 records, expected at most 200,000"):
        cifar10.files_in(own)


class Armed:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("place", ["cifar-10-batches-py", "."])
def test_the_python_version_is_refused_without_being_unpickled(tmp_path, place):
    folder, trap = tmp_path / place, tmp_path / "trap"
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        (folder / name).write_bytes(pickle.dumps(Armed(trap)))
    told = r"the Python version of CIFAR-10, .* reading a pickle runs code .*: get the data set's binary version"
    with pytest.raises(TaskError, match=r"fitness\.data_dir: .*" + told):
        check(Options(**FEW, data_dir=str(tmp_path)))
    with pytest.raises(EvaluationFailed, match=told):
        make(Options(**FEW, data_dir=str(tmp_path))).prepare()
    assert not trap.exists()


def test_missing_data_is_found_before_a_run_starts(tmp_path):
    with pytest.raises(TaskError, match=r"fitness\.data_dir: .*data_batch_1\.bin does not exist: get"):
        check(Options(**FEW, data_dir=str(tmp_path)))


def test_too_few_images_are_refused_with_the_number(data):
    with pytest.raises(EvaluationFailed, match=r"train_items must be below 40.*got 45000"):
        make(Options(dataset="cifar10", data_dir=str(data))).prepare()


# ---- options and identity --------------------------------------------------------------------------------------------


def test_cifar10_has_defaults_of_its_own():
    digits, images = Options(), Options(dataset="cifar10")
    assert (images.label_noise, images.epochs, images.optimiser, images.augment) == (0.0, 5, "sgd", True)
    assert (images.searched.name, images.held_out.name) == ("resnet18", "resnet34")
    assert (digits.label_noise, digits.epochs, digits.optimiser, digits.augment) == (0.2, 20, "adamw", False)
    assert Options(dataset="cifar10", label_noise=0.4, epochs=100).model_dump()["label_noise"] == 0.4


@pytest.mark.parametrize(
    "given, told",
    [
        ({"network": "resnet18"}, "fitness.network: resnet18 is for cifar10; expected one of mlp, deep, wide, linear, cnn"),
        ({"dataset": "cifar10", "held_out_network": "cnn"}, "fitness.held_out_network: cnn is for digits"),
        ({"augment": True}, "fitness.augment is for cifar10"),
        ({"dataset": "imagenet"}, "digits"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_the_data_are_refused(given, told):
    with pytest.raises(ValidationError, match=told):
        Options(**given)


def test_a_run_is_identified_by_the_images_and_not_by_their_folder(data, own):
    def identity(folder):
        return info(Options(**FEW, data_dir=str(folder))).identity

    assert identity(data) == identity(own)
    with (own / "data_batch_2.bin").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\xfe\xfd")
    assert identity(data) != identity(own)


def test_runs_on_the_digits_keep_the_identity_that_they_had():
    """As recorded before there were networks to choose from."""
    recorded = {
        "dataset": "digits", "data_dir": "data", "label_noise": 0.2, "train_items": 600, "batch_size": 32, "epochs": 20,
        "short_epochs": 8, "learning_rate": 0.005, "hidden": 128,
    }  # fmt: skip
    assert task_info("classification").identity == {"task": "classification", "options": recorded}
    assert task_info("classification", {"network": "cnn"}).identity["options"] == recorded | {"network": "cnn"}


# ---- training --------------------------------------------------------------------------------------------------------


def test_a_training_is_determined_by_its_seed_and_judged_on_other_images(data):
    task = make(Options(**FEW, data_dir=str(data)))
    first, again, other = (task.score_seed(known.graph("cross_entropy"), "full", seed) for seed in (1, 1, 2))
    assert dict(first.metrics) == dict(again.metrics) != dict(other.metrics)
    assert (first.steps, len(first.items.values)) == (3, 40 - 24)
    assert first.metrics["train_accuracy_clean"] == first.metrics["train_accuracy_noisy"]


def test_the_rung_held_out_measures_another_network_on_the_test_images(data):
    task = make(Options(**FEW, data_dir=str(data), held_out_network="efficientnet_b0"))
    first, again = (task.score_seed(known.graph("mse"), "held_out", 1) for _ in range(2))
    assert len(first.items.values) == 8
    assert dict(first.metrics) == dict(again.metrics), "dropout too depends on the seed alone"


def test_a_residual_network_learns_what_a_class_looks_like(tmp_path):
    data = written(tmp_path / "data", each=20)
    fit = {"train_items": 80, "batch_size": 16, "epochs": 4, "learning_rate": 0.02, "augment": False}
    result = make(Options(**FEW | fit, data_dir=str(data))).score_seed(known.graph("cross_entropy"), "full", 0)
    assert result.metrics["train_accuracy_clean"] > 0.5, "chance is 0.1"
