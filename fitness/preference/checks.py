"""Quick checks of the model, tokenizer, data and reward model that the options name, without torch.

All checks run, and each fault is one line that begins with its key. Checks that require loading are left to the worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fitness.preference.caches import HUB, library_fault
from fitness.preference.options import LEAST_TEST_PAIRS, Options, RewardModelEvaluation, named
from fitness.preference.pairs.limits import beyond_reward_model, positions
from fitness.preference.pairs.reading.files import KINDS, Source, row_count
from fitness.preference.pairs.reading.folders import local_source
from fitness.preference.pairs.reading.json_rows import PACKED
from fitness.preference.pairs.reading.rows import check_beginning
from fitness.score import EvaluationFailed

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "sentencepiece.bpe.model",
)
WEIGHTS = ("*.safetensors", "*.bin")
TEXT = (".jsonl", ".ndjson", ".json")
HTTP_LIBRARIES = ("huggingface_hub", "httpx", "httpx2", "requests")
PATIENCE = 10.0
"""Time limit for an answer from the hub, in seconds."""


class _Fault(Exception):
    """A fault with its remedy."""


def faults(options: Options) -> list[str]:
    """Faults that can be found on this machine, one line each."""
    found: list[str] = []
    for key, name in named(options).items():
        with _noted(found, f"fitness.{key}"):
            path = Path(name)
            if not path.exists():
                if key == "chat_template" or _is_path(name):
                    wanted = (
                        "a Jinja file" if key == "chat_template" else "an existing folder or file, or a name on the hub"
                    )
                    raise _Fault(f"there is no {path}; give {wanted}")
            elif key == "data":
                _check_data(path, options)
            elif key == "model":
                config = _check_model(path)
                with _noted(found, "fitness.max_length"):
                    _check_context(config, options.max_length)
                _check_tokenizer(path)
            elif key == "chat_template":
                if not path.is_file():
                    raise _Fault(f"{path} should be a regular file; give a Jinja file")
            else:
                reward = _reward_model(options, key)
                config = _check_reward_model(path, reward)
                with _noted(found, f"fitness.{key.partition('.')[0]}.max_length"):
                    if reward and (beyond := beyond_reward_model(reward, positions(config))):
                        raise _Fault(beyond)
    return found


def faults_online(options: Options) -> list[str]:
    """Names that the hub does not have, one line each. Names in the local cache are not looked up."""
    found: list[str] = []
    revisions = {"model": options.model_revision, "data": options.data_revision}
    for key, name in named(options).items():
        if key == "chat_template" or _is_path(name) or os.path.exists(name) or _offline():
            continue
        kind = "dataset" if key == "data" else "model"
        revision = revisions.get(key) or getattr(_reward_model(options, key), "revision", None)
        with _noted(found, f"fitness.{key}"):
            if not _cached(name, kind, revision):
                _ask_hub(name, kind, revision)
                if fault := library_fault(HUB):
                    raise _Fault(fault)
    return found


@contextlib.contextmanager
def _noted(found: list[str], key: str) -> Iterator[None]:
    try:
        yield
    except _Fault as fault:
        found.append(f"{key}: {fault}")
    except EvaluationFailed as fault:
        found.append(f"{key}: {fault.detail}")
    except OSError as error:
        found.append(
            f"{key}: cannot read {error.filename or 'it'}: {error.strerror or error}; check its name and permissions"
        )


def _is_path(name: str) -> bool:
    """Whether a name can only be a local path: a name on the hub has at most one slash and no suffix of a data file."""
    path = Path(name)
    return path.is_absolute() or name.startswith((".", "~")) or path.suffix in (*KINDS, *PACKED) or len(path.parts) > 2


def _reward_model(options: Options, key: str) -> RewardModelEvaluation | None:
    evaluation = getattr(options, key.partition(".")[0], None)
    return evaluation if isinstance(evaluation, RewardModelEvaluation) else None


# ---- models ----------------------------------------------------------------------------------------------------------


def _check_model(path: Path) -> dict[str, Any]:
    """The model's configuration, after a check that its weights are complete."""
    if not path.is_dir():
        raise _Fault(f"{path} is a file; give the folder that save_pretrained wrote")
    if (path / "adapter_config.json").exists() and not (path / "config.json").exists():
        return {}  # an adapter, whose base model is elsewhere
    if not (path / "config.json").exists():
        raise _Fault(f"{path} has no config.json; give a folder that save_pretrained wrote")
    config = _json(path / "config.json")
    if not isinstance(config, dict):
        raise _Fault(f"{path / 'config.json'} should hold an object; get a fresh copy of the model")
    _check_weights(path)
    return config


def _check_weights(path: Path) -> None:
    # If both kinds exist, transformers reads safetensors.
    for index in sorted(path.glob("*.safetensors.index.json")) or sorted(path.glob("*.bin.index.json")):
        content = _json(index)
        weights = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(weights, dict):
            raise _Fault(f"{index} has no weight_map; get a fresh copy of the model")
        if missing := sorted({str(file) for file in weights.values() if not (path / str(file)).exists()}):
            raise _Fault(f"{path} lacks the weights {missing[0]}; finish its download, or get a fresh copy")
    files = [file for pattern in WEIGHTS for file in sorted(path.glob(pattern))]
    if not files:
        raise _Fault(f"{path} has no weights (*.safetensors or *.bin); finish its download, or name another model")
    for file in files:
        if file.suffix == ".safetensors" and not _is_whole(file):
            raise _Fault(f"{file} is truncated or not a safetensors file; finish its download, or get a fresh copy")


def _is_whole(file: Path) -> bool:
    """Whether a safetensors file has the length that its header states."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if 8 + length > size:
            return False
        try:
            header = json.loads(opened.read(length))
            ends = [int(part["data_offsets"][1]) for name, part in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError):
            return False
    return 8 + int(length) + max(ends, default=0) == size


def _check_context(config: dict[str, Any], max_length: int) -> None:
    context = positions(config)
    if context is not None and max_length > context:
        raise _Fault(f"{max_length} tokens are more than the model's context of {context}; set it to {context} or less")


def _check_tokenizer(path: Path) -> None:
    there = [name for name in (*TOKENIZER_FILES, "tokenizer_config.json") if (path / name).exists()]
    if not there and not (path / "adapter_config.json").exists():
        raise _Fault(
            f"{path} has no tokenizer ({', '.join(TOKENIZER_FILES[:2])}); save the model's tokenizer in the same folder"
        )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (path / name).exists():
            _json(path / name)


def _check_reward_model(path: Path, reward: RewardModelEvaluation | None) -> dict[str, Any]:
    """The reward model's configuration."""
    config = _check_model(path)
    kinds = config.get("architectures") or [""]
    if all("CausalLM" in str(kind) for kind in kinds):
        raise _Fault(f"{path} is a language model; name a sequence classification model, as reward models are stored")
    labels = config.get("id2label")
    count = len(labels) if isinstance(labels, dict) else None
    if reward is not None and count == 1 and reward.label is not None:
        raise _Fault("the reward model has one output, which is the reward itself; do not set label")
    if reward is not None and count is not None and reward.label is not None and reward.label >= count:
        raise _Fault(f"the reward model has {count} classes and label is {reward.label}; set label below {count}")
    _check_tokenizer(path)
    return config


# ---- data ------------------------------------------------------------------------------------------------------------


def _check_data(path: Path, options: Options) -> None:
    """Check the first rows of each split, and the number of training rows."""
    if find_spec("datasets") is None and not (path.is_file() and path.suffix in TEXT):
        return  # left to the worker, which has the library
    for split in filter(None, (options.train_split, options.test_split)):
        source = local_source(path, split, options.data_subset)
        check_beginning(source, split, options.columns or {})
        if split == options.train_split:
            _check_count(path, source, options)


def _check_count(path: Path, source: Source, options: Options) -> None:
    kept = 0 if options.test_split else LEAST_TEST_PAIRS
    rows = row_count(source)
    if rows is not None and rows - kept < options.pairs:
        rows = sum(1 for _ in source.rows([]))  # the quick count misses several rows on one line
    if rows is not None and rows - kept < options.pairs:
        tests = f", of which at least {kept} are kept for tests" if kept else ""
        raise _Fault(
            f"{path} has {rows} pairs{tests}, fewer than pairs={options.pairs}: "
            f"set pairs to {max(0, rows - kept)} or less, or give more data"
        )


def _json(path: Path) -> Any:
    if not path.is_file():  # links are followed, as the hub's caches consist of them; reading a pipe would block
        raise _Fault(f"{path} should be a regular file; get a fresh copy")
    return _parsed(path.read_bytes(), str(path))


def _parsed(content: bytes, where: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _Fault(f"{where} is not valid JSON ({str(error)[:120]}); fix it, or get a fresh copy") from None


# ---- the hub ---------------------------------------------------------------------------------------------------------


def _offline() -> bool:
    return any(
        os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    )


def _cached(name: str, kind: str, revision: str | None) -> bool:
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if kind == "dataset":
        base = os.environ.get("HF_DATASETS_CACHE") or os.path.join(constants.HF_HOME, "datasets")
        return (Path(base) / name.replace("/", "___")).exists()
    try:
        return isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str)
    except HFValidationError:
        raise _Fault(f"{name!r} is neither a folder here nor a possible name on the hub; check it") from None


def _ask_hub(name: str, kind: str, revision: str | None) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    what = "data set" if kind == "dataset" else "model"
    try:
        HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=PATIENCE)
    except GatedRepoError:
        raise _Fault(f"{name!r} is gated; ask for access on its page, then log in with `hf auth login`") from None
    except RepositoryNotFoundError:
        raise _Fault(
            f"there is no folder {name!r} here and no such {what} on the hub; check the name, or log in with `hf auth login` "
            "for a private one"
        ) from None
    except RevisionNotFoundError:
        raise _Fault(f"{name!r} has no revision {revision!r}; name a branch, tag or commit of it") from None
    except HFValidationError:
        raise _Fault(f"{name!r} is neither a folder here nor a possible name on the hub; check it") from None
    except Exception as error:  # from the hub's client or its HTTP library, which may be one of several
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in HTTP_LIBRARIES:
            raise
        raise _Fault(
            f"{name!r} is not on this disk, and the hub does not answer ({type(error).__name__}); check the network, or give a "
            "folder"
        ) from None
