"""Checkpoints of a training: which one is complete, after a process was killed while it wrote."""

import json
import shutil
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open


def newest_whole(folder: Path) -> str | None:
    """The newest complete checkpoint in `folder`; newer ones that are truncated are deleted. None if there is none."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for checkpoint in checkpoints:
        if _is_whole(checkpoint):
            return str(checkpoint)
        shutil.rmtree(checkpoint)
    return None


def _is_whole(checkpoint: Path) -> bool:
    """Whether the checkpoint is complete (the trainer's state is written last) and none of its files is truncated."""
    if not (checkpoint / "trainer_state.json").exists():
        return False
    try:
        for file in checkpoint.rglob("*"):
            match file.suffix:
                case ".json":
                    json.loads(file.read_text("utf-8"))
                case ".safetensors":
                    with safe_open(file, framework="pt"):
                        pass
                case ".pt" | ".pth" | ".bin":  # zip archives, whose directory is at the end
                    if not zipfile.is_zipfile(file):
                        return False
    except (ValueError, SafetensorError):
        return False
    return True
