"""The configuration of a training run, read from TOML, and of the parts that an artifact keeps."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.errors import ConfigError

Label = Literal["positive", "neutral", "negative"]
LABELS: tuple[Label, ...] = ("positive", "neutral", "negative")
NEUTRAL = LABELS.index("neutral")

CONFIGS_DIRECTORY = Path(__file__).parent / "configs"

# What requests name models by, as name@version, and directories and logs too.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=64)]
Version = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$", max_length=64)]
Positive = Annotated[int, Field(gt=0)]
Size = Annotated[int, Field(gt=0, le=65_536)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextConfig(_Config):
    """How text becomes ids: the window in ids, and words that segmentation keeps whole."""

    window: Annotated[int, Field(ge=8, le=4096)] = 256
    user_words: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = ()


class VocabularyConfig(_Config):
    """How many words at most, and how often one must stand in the training texts."""

    size: Annotated[int, Field(ge=3)] = 40_000
    minimum_count: Positive = 3


class NetworkConfig(_Config):
    """Sizes of the network, and the dropout of its inputs and of its pooled states."""

    embedding_size: Size = 256
    hidden_size: Size = 256
    input_dropout: Probability = 0.3
    output_dropout: Probability = 0.4


class UnlabelledConfig(_Config):
    """Texts without labels: CSV files with a column ``text``. ``sample`` keeps that share."""

    name: str
    files: tuple[str, ...]
    sample: Annotated[float, Field(gt=0, le=1)] = 1.0
    origin: str = "not stated"
    licence: str = "not stated"


class PretrainConfig(_Config):
    """Language-model pre-training on texts without labels and on the training texts.

    ``batch_tokens`` counts padding too, ``longest`` is the ids of the pieces that longer texts are
    read in, and ``samples`` the words that each word competes with.
    """

    unlabelled: tuple[UnlabelledConfig, ...] = ()
    epochs: Positive = 1
    batch_tokens: Annotated[int, Field(ge=64)] = 4096
    longest: Annotated[int, Field(ge=2)] = 96
    samples: Positive = 1024
    learning_rate: Rate = 3e-3
    dropout: Probability = 0.1


class TeacherConfig(_Config):
    """A pre-trained encoder in Hugging Face's form that the network learns from.

    ``directory``, in the directory of the data, holds it, or is its name on a hub. It is adapted
    to the run's texts for ``adapt_epochs`` by masked-language-model training, then fine-tuned for
    ``epochs`` on the sets that ``sources`` names, all of them without. ``frozen_layers`` of its
    lower layers, and its embedding with them, keep their weights.
    """

    name: Name
    directory: str
    adapt_epochs: Annotated[int, Field(ge=0)] = 0
    epochs: Positive = 2
    frozen_layers: Annotated[int, Field(ge=0)] = 0
    sources: tuple[str, ...] = ()
    batch_size: Positive = 32
    longest: Annotated[int, Field(ge=8, le=512)] = 128
    learning_rate: Rate = 5e-5
    head_learning_rate: Rate = 1e-3
    origin: str = "not stated"
    licence: str = "not stated"


class DistilConfig(_Config):
    """Distillation (Hinton et al., 2015; for LSTMs Tang et al., 2019).

    The answers of ``teachers`` and of ``networks`` of our own, fine-tuned with other seeds, are
    averaged: soft labels for the rows of ``sources`` and for ``unlabelled`` texts, drawn from
    those of the pre-training. The network learns from them at ``temperature``. Of the loss of a
    labelled row ``soft_share`` goes by its soft label, the rest by its own. It learns for
    ``epochs``, the networks that it is taught by for those of the fine-tuning.
    """

    teachers: tuple[TeacherConfig, ...] = ()
    networks: Annotated[int, Field(ge=0)] = 1
    sources: tuple[str, ...] = ()
    unlabelled: Annotated[int, Field(ge=0)] = 50_000
    temperature: Rate = 2.0
    soft_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    epochs: Positive = 3
    unlabelled_weight: Rate = 1.0


class FinetuneConfig(_Config):
    """Training of the classifier.

    The embedding learns at a rate of its own; ``word_dropout`` makes that share of the words
    unknown. An answer is ``uncertain`` below the confidence from which on answers on dev are
    right with ``confident_accuracy``. ``templates`` and ``curated`` are the weights of our
    own sentences (``model.training.templates``), from templates and written one by one, 0 without;
    sources in ``leave_out`` are not fine-tuned on. ``seed`` is another one than the run's, after
    the same pre-training. The dev rows of the sets in ``choose_by``, of all without, say which
    epoch is best, and probabilities and ``uncertain`` are calibrated on them.
    """

    seed: int | None = None
    choose_by: tuple[str, ...] = ()
    templates: Annotated[float, Field(ge=0)] = 0.0
    curated: Annotated[float, Field(ge=0)] = 0.0
    leave_out: tuple[str, ...] = ()
    epochs: Positive = 2
    batch_size: Positive = 96
    learning_rate: Rate = 2e-3
    embedding_learning_rate: Rate = 6e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    label_smoothing: Probability = 0.05
    word_dropout: Probability = 0.1
    confident_accuracy: Annotated[float, Field(gt=0, lt=1)] = 0.95


class SourceConfig(_Config):
    """A labelled set: CSV files with ``text`` and ``polarity``, or else ``label``.

    ``two_classes`` says that its rows were never labelled neutral, so that they teach nothing
    about it: the neutral logit is masked for them. ``weight`` multiplies the loss of its rows,
    ``label_weights`` besides that of the rows whose column ``label`` holds the value, and
    ``sample`` keeps that share of them. ``group_column`` names a column (a domain, a kind) that
    scores are told apart by. ``twins`` keeps rows of one group whose first six characters are
    the same on one side of the split. ``published`` says what others reached on its test split,
    and ``notes`` what its labels are worth, beside the scores.
    """

    name: str
    train: tuple[str, ...]
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    two_classes: bool = False
    weight: Rate = 1.0
    label_weights: dict[str, Rate] = {}
    sample: Annotated[float, Field(gt=0, le=1)] = 1.0
    group_column: str | None = None
    twins: bool = False
    origin: str = "not stated"
    licence: str = "not stated"
    published: str = ""
    notes: str = ""


class DataConfig(_Config):
    """The labelled sets, and the texts that no training may see.

    ``notes`` go into the model card: what the labels mean, what the licences imply.

    ``blocklist`` is a CSV file whose column ``sha1`` holds the first 16 hexadecimal digits of
    the SHA-1 of normalised texts (``model.corpora.text_digest``). Of a set without dev files, the
    rows whose SHA-1 modulo ``dev_modulus`` is 0 are its dev split. ``published_splits`` uses every
    row of train and dev as published, even where a test split holds it too: only to compare with
    figures that were reached so.

    ``kinds`` is a file of sentences by kind of expression, for tests alone
    (``model.corpora.load_kinds``).
    """

    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    blocklist: str | None = None
    kinds: str | None = None
    dev_modulus: Annotated[int, Field(ge=2)] = 20
    published_splits: bool = False
    notes: str = ""

    @model_validator(mode="after")
    def _names_differ(self) -> "DataConfig":
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError("two sources have the same name")
        return self


class RunConfig(_Config):
    """Everything that a training run depends on, its seed included."""

    name: Name
    version: Version
    seed: int = 17
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["bfloat16", "float32"] = "float32"
    text: TextConfig = TextConfig()
    vocabulary: VocabularyConfig = VocabularyConfig()
    network: NetworkConfig = NetworkConfig()
    pretrain: PretrainConfig | None = None
    distil: DistilConfig | None = None
    finetune: FinetuneConfig = FinetuneConfig()
    data: DataConfig

    @property
    def finetuning_seed(self) -> int:
        """The seed behind the pre-training."""
        return self.seed if self.finetune.seed is None else self.finetune.seed


def load_config(source: str | Path, data: DataConfig | None = None) -> RunConfig:
    """The configuration in a TOML file, or the one of that name in ``model/configs``.

    Args:
        source: a path, or a name such as ``zh-general``.
        data: stands in for the file's ``[data]``, for files that have none.

    Raises:
        ConfigError: the file is missing, is not TOML, or a value in it cannot be used.
    """
    path = Path(source)
    if path.suffix != ".toml":
        path = CONFIGS_DIRECTORY / f"{source}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in CONFIGS_DIRECTORY.glob("*.toml")))
        raise ConfigError(
            f"there is no configuration {source}; name a TOML file or one of: {known}"
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    if data is not None:
        content["data"] = data
    elif "data" not in content:
        raise ConfigError(f"{path} names no data; give a CSV file to train on")
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path}: {place}: {first['msg']}") from None
