"""Checks that the GPU has what the options require, with a simulated GPU."""

from types import SimpleNamespace

import pytest
import torch

from fitness.preference.options import Options
from fitness.preference.policies import check_device, notes_on_precision, precision
from fitness.score import EvaluationFailed

AUTO_IS_FLOAT32 = "fitness.precision=auto is float32 here: this GPU has no bfloat16."


def options(**changes):
    return Options.model_validate({"model": "m", "data": "d.jsonl", **changes})


@pytest.fixture
def gpus(monkeypatch):
    """Tells torch that there are GPUs of these major compute capabilities; a tensor in bfloat16 can be made on any of them."""

    def there_are(*majors):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(majors))
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(majors))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index=0: SimpleNamespace(major=majors[index]))
        monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)

    return there_are


@pytest.mark.parametrize(
    ("majors", "expected"), [((), "float32"), ((7,), "float32"), ((8,), "bfloat16"), ((9, 7), "float32")]
)
def test_auto_is_bfloat16_where_all_gpus_have_it(gpus, majors, expected):
    gpus(*majors)
    assert precision(options()) == expected
    assert notes_on_precision(options()) == ((AUTO_IS_FLOAT32,) if 7 in majors else ())


def test_amd_gpus_have_bfloat16(gpus, monkeypatch):
    gpus(6)
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert precision(options()) == "bfloat16"


def test_a_different_precision_of_4_bit_weights_is_noted(gpus):
    gpus(7)
    told = notes_on_precision(options(quantization="4bit", lora={}, precision="float32"))
    assert told == ("Computation with the 4-bit weights is in float32: this GPU has no bfloat16.",)


@pytest.mark.parametrize(
    ("majors", "changes", "words"),
    [
        ((7,), {"precision": "bfloat16"}, "this GPU has no bfloat16: set fitness.precision=float32"),
        ((7,), {"precision": "bfloat16_weights"}, "this GPU has no bfloat16"),
        ((7,), {"attention": "flash_attention_2"}, "fitness.attention=flash_attention_2 needs a GPU that has bfloat16"),
        ((), {"attention": "flash_attention_2"}, "fitness.attention=flash_attention_2 needs a GPU, and"),
        ((8,), {"attention": "flash_attention_2", "precision": "float32"}, "computes in bfloat16 only"),
    ],
)
def test_a_missing_feature_of_the_gpu_is_named(gpus, majors, changes, words):
    gpus(*majors)
    with pytest.raises(EvaluationFailed, match=words) as refusal:
        check_device(options(**changes))
    assert refusal.value.reason == "bad_data"


def test_bfloat16_on_the_cpu_and_flash_attention_on_a_newer_gpu_are_not_refused(gpus):
    gpus(7)
    check_device(options(precision="bfloat16", device="cpu"))
    gpus(8)
    check_device(options(attention="flash_attention_2"))
