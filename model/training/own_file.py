"""Training on one file of the user's own: the settings that follow from its rows."""

import logging
from pathlib import Path

from model.config import LABELS, NEUTRAL, DataConfig, RunConfig, SourceConfig, load_config
from model.corpora import read_examples

logger = logging.getLogger(__name__)

# One row in ten is held out, where a corpus gives one in twenty: a file is often small, and the
# temperature and the bound of ``uncertain`` are fitted on what is held out.
_DEV_MODULUS = 10


def own_file_config(file: Path, config: str | None = None, *, adapt: bool = False) -> RunConfig:
    """Return the configuration of a run whose only data is a labelled CSV file.

    Args:
        file: the CSV file, with the columns ``text`` and ``label``.
        config: a TOML file or the name of a configuration without data; by default ``csv``, or
            ``adapt`` when adapting.
        adapt: whether the run starts from a trained model. A file without a neutral row then
            leaves what that model knows about neutral unchanged; a model trained from nothing
            would only learn never to answer neutral.

    Raises:
        DataError: the file cannot be used.
        ConfigError: the configuration cannot be used.
    """
    source = SourceConfig(name=file.stem, train=(file.name,), origin="your own file")
    labels = {example.label for example in read_examples(file, source)}
    if adapt and NEUTRAL not in labels:
        logger.info("no row is %s; the model keeps what it knows about it", LABELS[NEUTRAL])
        source = source.model_copy(update={"two_classes": True})
    data = DataConfig(sources=(source,), dev_modulus=_DEV_MODULUS)
    return load_config(config or ("adapt" if adapt else "csv"), data)
