"""The shipped artifact, copies with another version, and a small training run."""

import json
import shutil
from pathlib import Path

from model.config import (
    DataConfig,
    RunConfig,
    SourceConfig,
)
from tests.support.repository import ROOT

SHIPPED = ROOT / "model" / "artifacts" / "zh-general"


def version_of(artifact: Path, directory: Path, version: str) -> Path:
    """Copy an artifact to a directory, with another version."""
    shutil.copytree(artifact, directory)
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "version": version}), encoding="utf-8")
    return directory


def turn(link: Path, target: Path) -> None:
    """Point a symbolic link at another directory, atomically."""
    other = link.with_name("next")
    other.symlink_to(target)
    other.rename(link)


def small_config(corpus: Path) -> RunConfig:
    """Return a configuration that pre-trains and fine-tunes two epochs within seconds."""
    return RunConfig.model_validate(
        {
            "name": "small",
            "version": "0.1.0",
            "vocabulary": {"size": 500, "minimum_count": 1},
            "network": {"embedding_size": 16, "hidden_size": 16},
            "pretrain": {
                "unlabelled": [{"name": "more", "files": [corpus.name]}],
                "batch_tokens": 128,
                "samples": 32,
            },
            "finetune": {"epochs": 2, "batch_size": 16},
            "data": DataConfig(
                sources=(SourceConfig(name="reviews", train=(corpus.name,)),), dev_modulus=10
            ),
        }
    )
