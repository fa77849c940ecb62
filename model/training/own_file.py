"""Training on one file of the user's own: the run that follows from its rows."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from gettext import gettext as _
from pathlib import Path
from typing import NamedTuple

from model.bulk.labelled import LabelledRows
from model.config import (
    LABELS,
    NEUTRAL,
    DataConfig,
    RunConfig,
    SourceConfig,
    load_config,
)
from model.corpora import Example, Splits, split_examples, text_key
from model.errors import DataError, one_line
from model.training.calibration import MIN_DEV_TEXTS
from model.training.templates import SHIPPED_SOURCE, shipped_sentences

logger = logging.getLogger(__name__)

# One row in ten is held out, where a corpus gives one in twenty: a file is often small.
_DEV_MODULUS = 10
# With fewer dev texts than this, which epoch is best is chance; then no row is held out from a
# trained model, which needs each of them more.
_LEAST_DEV_TEXTS = 20
# Below this many texts nothing is learnt that holds for others.
_LEAST_TEXTS = 100
_LEAST_TEXTS_TO_ADAPT = 5
_LEAST_TEXTS_OF_LABEL = 20
# A label with more than so many times the texts of another tilts the model towards itself.
_UNEVEN = 2
# So few rows count as so many, or the sentences that keep a model from forgetting outweigh them.
_COUNTED_TEXTS = 100
# If so many rows have other labels, that none is neutral is no coincidence.
_SURELY_TWO_CLASSES = 100


class OwnFileRun(NamedTuple):
    """A run on one file: its configuration, and its texts."""

    config: RunConfig
    splits: Splits


def own_file_run(
    labelled: LabelledRows, config: str | None = None, *, adapt: bool = False
) -> OwnFileRun:
    """Return the run whose only data are the rows of a file, and log what they are too few for.

    Args:
        labelled: the rows.
        config: a TOML file or the name of a configuration without data; by default ``csv``, or
            ``adapt`` when adapting.
        adapt: whether the run starts from a trained model. A file that cannot say that a text is
            neutral then leaves what that model knows about neutral unchanged; a model trained from
            nothing would only learn never to answer neutral.

    Raises:
        DataError: nothing good can come of so few, or such, rows.
        ConfigError: the configuration cannot be used.
    """
    name = labelled.path.name
    examples = [Example(row.text, row.label, name) for row in labelled.rows]
    modulus: int | None = _DEV_MODULUS
    splits = split_examples(examples, modulus)
    if adapt and len(splits.dev) < _LEAST_DEV_TEXTS:
        splits = split_examples(examples)
    _log_left_out(splits, examples)
    _check(splits, labelled.path, adapt=adapt)
    texts = splits.train + splits.dev
    counts = Counter(example.label for example in texts)
    _log_few(counts, adapt=adapt)
    _log_held_out(splits, adapt=adapt)
    two_classes = labelled.words.two_classes or len(texts) >= _SURELY_TWO_CLASSES
    two_classes = adapt and two_classes and not counts[NEUTRAL] and len(counts) > 1
    if two_classes:
        logger.info(_("no row is %s; the model keeps what it knows about it"), _(LABELS[NEUTRAL]))
    source = SourceConfig(
        name=name,
        train=(name,),
        two_classes=two_classes,
        weight=max(1.0, _COUNTED_TEXTS / len(splits.train)) if adapt else 1.0,
        origin="your own file",
    )
    shipped = SourceConfig(
        name=SHIPPED_SOURCE,
        train=(),
        origin="this project, written one by one by a large language model",
        licence="Apache-2.0",
    )
    data = DataConfig(sources=(source, shipped), dev_modulus=_DEV_MODULUS)
    loaded = load_config(config or ("adapt" if adapt else "csv"), data)
    return OwnFileRun(loaded, replace(splits, dev=splits.dev + shipped_sentences(held_out=True)))


def _log_left_out(splits: Splits, examples: Sequence[Example]) -> None:
    left_out = splits.left_out
    if duplicates := left_out.get("duplicate"):
        logger.info(_("%d rows repeat the text of another and count once"), duplicates)
    if empty := left_out.get("empty"):
        logger.info(_("%d rows without a letter or digit are left out"), empty)
    if contradicting := left_out.get("contradicting"):
        logger.warning(
            _(
                "%d rows are left out since other rows give the same text another label, such as "
                "%s; decide on one"
            ),
            contradicting,
            _contradiction(examples),
        )


def _contradiction(examples: Sequence[Example]) -> str:
    """Return a text that has several labels, and these."""
    first: dict[str, Example] = {}
    for example in examples:
        other = first.setdefault(text_key(example.text), example)
        if other.label != example.label:
            labels = _(", ").join(_(LABELS[each.label]) for each in (other, example))
            return _("{text} ({labels})").format(text=one_line(other.text), labels=labels)
    return ""


def _check(splits: Splits, path: Path, *, adapt: bool) -> None:
    """Refuse rows that nothing can be learnt from."""
    texts = splits.train + splits.dev
    if not texts:
        raise DataError(
            _("no row of {path} can be trained on; give each text one label").format(path=path)
        )
    least = _LEAST_TEXTS_TO_ADAPT if adapt else _LEAST_TEXTS
    if len(texts) < least:
        advice = (
            _("label more")
            if adapt
            else _("label more, or start from a trained model by --from zh-general")
        )
        raise DataError(
            _(
                "{path} has {texts} texts to train on, and fewer than {least} teach nothing that "
                "holds for others; {advice}"
            ).format(path=path, texts=len(texts), least=least, advice=advice)
        )
    labels = {example.label for example in texts}
    if len(labels) == 1 and not adapt:
        (only,) = labels
        raise DataError(
            _(
                "every row of {path} is {labels}, and a model trained on them would answer "
                "nothing else; add rows of the other labels, or start from a trained model by "
                "--from zh-general"
            ).format(path=path, labels=_(LABELS[only]))
        )


def _log_few(counts: Counter[int], *, adapt: bool) -> None:
    """Say what labels with few rows, or none, mean for the model."""
    if len(counts) == 1:
        (only,) = counts
        logger.warning(
            _(
                "every row is %s: the model will answer so more often, for texts that are not, "
                "too; add right answers of the other labels"
            ),
            _(LABELS[only]),
        )
    few = {label: counts[label] for label in counts if counts[label] < _LEAST_TEXTS_OF_LABEL}
    if few:
        logger.warning(
            _(
                "there are only %s: what is learnt from them holds for texts much like them; %d or "
                "more of each label teach more"
            ),
            _listed(few),
            _LEAST_TEXTS_OF_LABEL,
        )
    if len(counts) > 1 and max(counts.values()) > _UNEVEN * min(counts.values()):
        logger.warning(
            _(
                "the labels are uneven (%s): the model will answer %s more often, for texts that "
                "are not, too; add right answers of the rarer labels"
            ),
            _listed(counts),
            _(LABELS[counts.most_common(1)[0][0]]),
        )
    missing = [_(LABELS[label]) for label in range(len(LABELS)) if not counts[label]]
    if missing and not adapt:
        logger.warning(_("no row is %s: the model will never answer so"), _(" or ").join(missing))


def _listed(counts: Mapping[int, int]) -> str:
    """Return labels with their numbers of texts."""
    return _(", ").join(
        _("{count:,} {label}").format(count=count, label=_(LABELS[label]))
        for label, count in sorted(counts.items())
    )


def _log_held_out(splits: Splits, *, adapt: bool) -> None:
    dev = len(splits.dev)
    if not dev:
        logger.info(
            _(
                "all %d texts are trained on, since they are too few to measure by; label others "
                "and give them to sentiment evaluate"
            ),
            len(splits.train),
        )
        return
    logger.info(_("%d texts are trained on, %d are held out to measure by"), len(splits.train), dev)
    if dev < MIN_DEV_TEXTS:
        effect = (
            _("temperature and bound of uncertain stay those of the model that it starts from")
            if adapt
            else _("the bound of uncertain is set with caution, so that more answers are uncertain")
        )
        logger.info(_("%d are too few to calibrate by, so %s"), dev, effect)
