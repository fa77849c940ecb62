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

# Requests name models by these, as name@version; directories and logs do too.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=64)]
Version = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$", max_length=64)]
Word = Annotated[str, Field(min_length=1, max_length=100)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Size = Annotated[int, Field(gt=0, le=65_536)]
DropoutRate = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]

_NOT_STATED = "not stated"


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextConfig(_Config):
    """How text becomes ids."""

    window: int = Field(
        default=256,
        ge=8,
        le=4096,
        description="Ids that the network reads at once; longer texts take several windows.",
    )
    user_words: tuple[Word, ...] = Field(
        default=(), description="Words that segmentation keeps whole."
    )


class VocabularyConfig(_Config):
    """Which words of the training texts the network knows."""

    size: int = Field(default=40_000, ge=3, description="Maximum number of words.")
    minimum_count: Positive = Field(
        default=3, description="How often a word must occur in the training texts."
    )


class NetworkConfig(_Config):
    """Sizes of the network, and its dropout."""

    embedding_size: Size = Field(default=256, description="Features of a word.")
    hidden_size: Size = Field(default=256, description="Features of a hidden state, per direction.")
    input_dropout: DropoutRate = Field(default=0.3, description="Dropout of the word features.")
    output_dropout: DropoutRate = Field(default=0.4, description="Dropout of the pooled states.")


class UnlabelledConfig(_Config):
    """Texts without labels."""

    name: str
    files: tuple[str, ...] = Field(description="CSV files with a column `text`.")
    sample: Share = Field(default=1.0, description="The share of the texts to keep, a fixed one.")
    origin: str = _NOT_STATED
    licence: str = _NOT_STATED


class PretrainConfig(_Config):
    """Language-model pre-training on texts without labels and on the training texts."""

    unlabelled: tuple[UnlabelledConfig, ...] = ()
    epochs: Positive = 1
    batch_tokens: int = Field(default=4096, ge=64, description="Ids in a batch, padding included.")
    longest: int = Field(
        default=96, ge=2, description="Ids of a piece; longer texts are cut into pieces."
    )
    samples: Positive = Field(default=1024, description="Words that each word competes with.")
    learning_rate: Rate = 3e-3
    dropout: DropoutRate = 0.1


class TeacherConfig(_Config):
    """A pre-trained encoder in Hugging Face's form that the network learns from.

    It is adapted to the run's texts by masked-language-model training, then fine-tuned.
    """

    name: Name
    directory: str = Field(
        description="A directory, looked for in that of the data first, or the name on a hub."
    )
    adapt_epochs: Count = Field(default=0, description="Epochs of masked-language-model training.")
    epochs: Positive = Field(default=2, description="Epochs of fine-tuning.")
    frozen_layers: Count = Field(
        default=0, description="Lowest layers that keep their weights, the embedding with them."
    )
    sources: tuple[str, ...] = Field(default=(), description="Sets to fine-tune it on; empty: all.")
    batch_size: Positive = 32
    longest: int = Field(
        default=128, ge=8, le=512, description="Pieces read of a text; the rest is cut."
    )
    learning_rate: Rate = 5e-5
    head_learning_rate: Rate = Field(default=1e-3, description="That of the new layer on top.")
    origin: str = _NOT_STATED
    licence: str = _NOT_STATED


class DistilConfig(_Config):
    """Distillation (Hinton et al., 2015; for LSTMs Tang et al., 2019).

    The answers of the teachers, and of networks of our own that were fine-tuned with other seeds,
    are averaged to soft labels, from which the network learns beside the labels.
    """

    teachers: tuple[TeacherConfig, ...] = ()
    networks: Count = Field(default=1, description="Networks of our own among the teachers.")
    sources: tuple[str, ...] = Field(
        default=(), description="Sets that get soft labels; empty: all."
    )
    unlabelled: Count = Field(
        default=50_000,
        description="Texts to learn from soft labels alone, drawn from the pre-training's.",
    )
    temperature: Rate = Field(
        default=2.0, description="Softens the answers, and the network's own."
    )
    soft_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="The share of a labelled row's loss that its soft label gets.",
    )
    epochs: Positive = Field(
        default=3,
        description="Epochs of the final fine-tuning; networks among the teachers have its own.",
    )
    unlabelled_weight: Weight = Field(
        default=1.0, description="Multiplies the loss of the drawn texts."
    )


class ReplayConfig(_Config):
    """What keeps a model that is trained further from forgetting (Li and Hoiem, 2016).

    Sentences of this package are trained on beside the rows, with the answers that the artifact
    that the run starts from gives to them.
    """

    sentences: Positive = Field(default=1000, description="How many to draw.")
    weight: Weight = Field(default=1.0, description="Multiplies their loss.")


class FinetuneConfig(_Config):
    """Training of the classifier, and its calibration."""

    seed: int | None = Field(
        default=None, description="Another seed than the run's, after the same pre-training."
    )
    choose_by: tuple[str, ...] = Field(
        default=(),
        description="Sets whose dev rows choose the best epoch, the temperature and the bound of "
        "`uncertain`; empty: all.",
    )
    templates: float = Field(
        default=0.0, ge=0, description="Weight of the sentences made from templates; 0: none."
    )
    curated: float = Field(
        default=0.0, ge=0, description="Weight of the sentences written one by one; 0: none."
    )
    leave_out: tuple[str, ...] = Field(default=(), description="Sets not to fine-tune on.")
    epochs: Positive = 2
    batch_size: Positive = 96
    learning_rate: Rate = 2e-3
    embedding_learning_rate: Rate = 6e-4
    weight_decay: float = Field(default=0.01, ge=0)
    label_smoothing: DropoutRate = 0.05
    word_dropout: DropoutRate = Field(
        default=0.1, description="The share of the words made unknown."
    )
    confident_accuracy: float = Field(
        default=0.95,
        gt=0,
        lt=1,
        description="An answer is `uncertain` below the confidence from which on answers on dev "
        "are right so often.",
    )


class SourceConfig(_Config):
    """A labelled set: CSV files with the columns `text` and `polarity`, or else `label`."""

    name: str
    train: tuple[str, ...]
    dev: tuple[str, ...] = Field(
        default=(), description="Without, a share of the train rows is held out."
    )
    test: tuple[str, ...] = ()
    two_classes: bool = Field(
        default=False,
        description="Whether no row was ever labelled neutral. The neutral logit is then masked, "
        "since the rows teach nothing about it.",
    )
    weight: Weight = Field(default=1.0, description="Multiplies the loss of the rows.")
    label_weights: dict[str, Weight] = Field(
        default={}, description="Multiplies it further, by the value in the column `label`."
    )
    sample: Share = Field(
        default=1.0, description="The share of the train rows to keep, a fixed one."
    )
    group_column: str | None = Field(
        default=None, description="The column (a domain, a kind) whose values are scored apart."
    )
    calibrate_on: dict[str, str] = Field(
        default={},
        description="Column and value of the dev rows that are drawn as users' texts are. Only "
        "these choose the best epoch, the temperature and the bound of `uncertain`; all dev rows "
        "are scored. Empty: all of them do.",
    )
    twins: bool = Field(
        default=False,
        description="Whether rows of one group whose first six characters are the same are kept "
        "on one side of the split.",
    )
    origin: str = _NOT_STATED
    licence: str = _NOT_STATED
    published: str = Field(default="", description="What others reached on the test split.")
    notes: str = Field(
        default="", description="What the labels are worth; printed beside the scores."
    )


class DataConfig(_Config):
    """The labelled sets, and the texts that no training may see."""

    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    blocklist: str | None = Field(
        default=None,
        description="A CSV file whose column `sha1` holds the first 16 hexadecimal digits of "
        "`model.corpora.text_digest`.",
    )
    kinds: str | None = Field(
        default=None,
        description="A file of sentences by kind of expression, for tests alone "
        "(`model.corpora.load_kinds`).",
    )
    dev_modulus: int = Field(
        default=20,
        ge=2,
        description="Of a set without dev files, rows whose SHA-1 modulo this is 0.",
    )
    published_splits: bool = Field(
        default=False,
        description="Whether to use every row of train and dev as published, even one that a test "
        "split holds too: only to compare with figures that were reached so.",
    )
    notes: str = Field(
        default="", description="For the model card: what the labels mean, what the licences imply."
    )

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
    replay: ReplayConfig | None = None
    finetune: FinetuneConfig = FinetuneConfig()
    data: DataConfig

    @property
    def finetuning_seed(self) -> int:
        """The seed of what follows the pre-training."""
        return self.seed if self.finetune.seed is None else self.finetune.seed


def load_config(source: str | Path, data: DataConfig | None = None) -> RunConfig:
    """Load the configuration in a TOML file, or the one of that name in ``model/configs``.

    Args:
        source: a path, or a name such as ``zh-general``.
        data: replaces the file's ``[data]``, for files that have none.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds a value that cannot be used.
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
