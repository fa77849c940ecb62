"""The settings and data that a run directory belongs to: a run resumes only from its own."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable
from gettext import gettext as _
from pathlib import Path
from typing import Any

from model.config import RunConfig, TeacherConfig
from model.corpora import Example
from model.errors import ConfigError
from model.files import replacing

logger = logging.getLogger(__name__)

_PRETRAINING_SETTINGS = "run.json"
_FINETUNING_SETTINGS = "finetune.json"
# Fields of data, sets and teachers that describe and test, and that no weight depends on.
_DESCRIPTIONS = ("origin", "licence", "published", "notes", "kinds", "test")
# What the vocabulary and the pre-training depend on, beside the data and the network's sizes.
_PRETRAINING = ("seed", "precision", "text", "vocabulary", "pretrain")


def data_digest(*parts: Iterable[Example | str]) -> str:
    """Return the SHA-256 of examples and texts, in their order."""
    digest = hashlib.sha256()
    for part in parts:
        for item in part:
            line = item if isinstance(item, str) else f"{item.source}\t{item.label}\t{item.text}"
            digest.update(line.encode("utf-8", "replace") + b"\n")
        digest.update(b"\0")
    return digest.hexdigest()


def bind_run_directory(
    run: Path, config: RunConfig, data: str, synthetic: str, start: str | None
) -> None:
    """Bind a directory to a configuration and its data; refuse one that another run made.

    If only settings after the pre-training differ, the fine-tuning is restarted and the
    pre-training kept. Teachers have directories, and settings, of their own.

    Args:
        run: the directory; made if it is missing.
        config: the whole run.
        data: the digest of all texts that are trained on.
        synthetic: the digest of the synthetic rows.
        start: the digest of the artifact that training starts from.

    Raises:
        ConfigError: the directory holds a run with other settings or data.
    """
    run.mkdir(parents=True, exist_ok=True)
    finetuning = _training_settings(config)
    pretraining: dict[str, Any] = {name: finetuning.pop(name) for name in _PRETRAINING}
    pretraining["network"] = {
        name: finetuning["network"][name] for name in ("embedding_size", "hidden_size")
    }
    pretraining["data"] = data
    finetuning |= {"synthetic": synthetic, "from": start}
    if read_settings(run / _PRETRAINING_SETTINGS) not in (None, pretraining):
        raise ConfigError(
            _(
                "{run} holds a run of another configuration or of other data; delete it or name "
                "another by --run"
            ).format(run=run)
        )
    write_settings(run / _PRETRAINING_SETTINGS, pretraining)
    earlier = read_settings(run / _FINETUNING_SETTINGS)
    if earlier is not None and earlier != finetuning:
        logger.info(_("fine-tuning settings changed; restarting it"))
        (run / "finetune.checkpoint").unlink(missing_ok=True)
        if _of_networks(earlier) != _of_networks(finetuning):
            shutil.rmtree(run / "networks", ignore_errors=True)
    write_settings(run / _FINETUNING_SETTINGS, finetuning)


def discard_checkpoints(run: Path) -> None:
    """Delete what a run would resume from, so that the directory takes a run on other rows."""
    for name in ("networks", "teachers"):
        shutil.rmtree(run / name, ignore_errors=True)
    bound = (run / _PRETRAINING_SETTINGS, run / _FINETUNING_SETTINGS)
    weights = (*run.glob("*.checkpoint"), *run.glob("*.safetensors"), *run.glob("*.npz"))
    for path in (*bound, *weights, run / "vocab.txt"):
        path.unlink(missing_ok=True)


def read_settings(path: Path) -> dict[str, Any] | None:
    """Return the settings that what lies beside a file was made with; None without the file."""
    if not path.exists():
        return None
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return settings


def write_settings(path: Path, settings: dict[str, Any]) -> None:
    """Write the settings that what lies beside a file is made with."""
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _training_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that a run's weights depend on."""
    settings = config.model_dump(mode="json")
    for part in (settings["data"], *settings["data"]["sources"]):
        _drop_descriptions(part)
    if config.distil:
        settings["distil"]["teachers"] = [*map(teacher_settings, config.distil.teachers)]
    del settings["finetune"]["confident_accuracy"]
    return settings


def teacher_settings(teacher: TeacherConfig) -> dict[str, Any]:
    """Return the settings that a teacher's weights depend on, wherever the data lie."""
    settings = teacher.model_dump(mode="json") | {"directory": Path(teacher.directory).name}
    _drop_descriptions(settings)
    return settings


def _drop_descriptions(settings: dict[str, Any]) -> None:
    for name in _DESCRIPTIONS:
        settings.pop(name, None)


def _of_networks(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that our networks among the teachers depend on.

    They have seeds of their own.
    """
    return settings | {"distil": None, "finetune": settings["finetune"] | {"seed": None}}
