"""The artifact: one directory of readable, versioned files. ``load`` is the inverse of ``save``."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from model.config import LABELS, Label, Name, NetworkConfig, TextConfig, Version
from model.encoding import Encoder
from model.errors import ArtifactError
from model.text import TextPipeline
from model.vocab import Vocabulary
from model.words import NO_OWN_WORDS, OwnWords

FORMAT_VERSION: Final = 1

MANIFEST = "manifest.json"
VOCABULARY = "vocab.txt"
STOPWORDS = "stopwords.txt"
WEIGHTS = "weights.safetensors"
ONNX = "model.int8.onnx"
CARD = "MODEL_CARD.md"
_FILES = (VOCABULARY, STOPWORDS, WEIGHTS, CARD)
_FIGURE = re.compile(r"[a-z]+\.png")

EMBEDDING = "reader.embedding.weight"

# Upper edges of the bins that confidences are counted in; the lowest confidence is a third.
CONFIDENCE_BINS: Final = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

Weights = Mapping[str, NDArray[Any]]

Ratio = Annotated[float, Field(ge=0, le=1)]


class Reference(BaseModel):
    """What answers look like over some texts.

    ``labels`` is the share of each label, ``confidence`` the share of each of ``CONFIDENCE_BINS``,
    and ``unknown`` the share of the tokens that the vocabulary lacks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    texts: Annotated[int, Field(ge=1)]
    labels: dict[Label, Ratio]
    confidence: Annotated[
        tuple[Ratio, ...],
        Field(min_length=len(CONFIDENCE_BINS), max_length=len(CONFIDENCE_BINS)),
    ]
    mean_confidence: Ratio
    unknown: Ratio

    @model_validator(mode="after")
    def _every_label_has_a_share(self) -> "Reference":
        if set(self.labels) != set(LABELS):
            raise ValueError(f"labels must be {', '.join(LABELS)}")
        return self


class Manifest(BaseModel):
    """What an artifact says of itself.

    ``files`` maps file names to their SHA-256, ``training_data`` is a digest over the training
    examples, ``temperature`` divides the logits before the softmax, and an answer is ``uncertain``
    below ``uncertain_below``. ``reference`` is what answers look like on dev; without it nobody
    can tell whether those in service drift. ``onnx`` says for each split how far the answers of
    ``model.int8.onnx`` agree with those of the weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1]
    name: Name
    version: Version
    labels: tuple[Label, ...]
    text: TextConfig
    network: NetworkConfig
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    uncertain_below: Annotated[float, Field(ge=0, le=1)]
    training_data: str
    metrics: dict[str, dict[str, float]]
    reference: Reference | None = None
    onnx: dict[str, dict[str, float]] = {}
    files: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = {}


@dataclass(frozen=True)
class Artifact:
    """A checked artifact.

    ``weights`` are read when they are first asked for. ``onnx`` reads the network in int8, if
    there is one; ``figures`` are the card's pictures by file name, ``digest`` is the SHA-256 of
    the manifest, so of all of it.
    """

    manifest: Manifest
    vocabulary: Vocabulary
    stopwords: tuple[str, ...]
    weights: Weights
    card: str
    onnx: Callable[[], bytes] | None = None
    figures: dict[str, bytes] = field(default_factory=dict)
    digest: str = ""

    def encoder(self, words: OwnWords = NO_OWN_WORDS) -> Encoder:
        """The one way from text to ids for this artifact.

        Raises:
            ConfigError: a user word cannot be one.
        """
        pipeline = TextPipeline(
            {*self.stopwords, *words.stopwords} - {*words.kept},
            [*self.manifest.text.user_words, *words.user],
        )
        return Encoder(pipeline, self.vocabulary, self.manifest.text.window)


def save(artifact: Artifact, directory: Path) -> None:
    """Writes the files of an artifact and their hashes into its manifest.

    Weights are stored in half precision; whoever wants the same predictions from memory and from
    disk rounds them before.
    """
    directory.mkdir(parents=True, exist_ok=True)
    contents = {
        VOCABULARY: to_lines(artifact.vocabulary.words),
        STOPWORDS: to_lines(artifact.stopwords),
        WEIGHTS: save_tensors(_half_precision(artifact.weights)),
        CARD: artifact.card.encode(),
        **artifact.figures,
    }
    if artifact.onnx:
        contents[ONNX] = artifact.onnx()
    hashes = {name: _sha256(content) for name, content in contents.items()}
    manifest = artifact.manifest.model_copy(update={"files": hashes})
    for picture in directory.glob("*.png"):  # of an earlier card
        picture.unlink()
    (directory / ONNX).unlink(missing_ok=True)  # of other weights
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    text = json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False, indent=2)
    (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")


def load(directory: Path) -> Artifact:
    """The artifact in a directory, once its format and every hash are right.

    Whether the weights have the right shapes is for the engine to say, which builds the network.

    Raises:
        ArtifactError: says in one sentence what is wrong with which file.
    """
    # Of a symbolic link that is turned meanwhile or later, what it names now.
    directory = directory.resolve()
    raw = _read(directory, MANIFEST)
    manifest = _parse_manifest(raw, directory)
    figures = {name for name in manifest.files if _FIGURE.fullmatch(name)}
    if set(manifest.files) - figures - {ONNX} != set(_FILES):
        raise ArtifactError(
            f"{directory / MANIFEST}: files must be {', '.join(_FILES)}, and may be {ONNX} and "
            "pictures of the card"
        )

    def read(name: str) -> bytes:
        return _read_checked(directory, name, manifest.files[name])

    try:
        vocabulary = Vocabulary(from_lines(read(VOCABULARY)))
        stopwords = tuple(from_lines(read(STOPWORDS)))
        card = read(CARD).decode()
    except ValueError as error:
        raise ArtifactError(f"{directory}: a text file cannot be used: {error}") from None
    for name in {WEIGHTS, ONNX} & manifest.files.keys():
        read(name)  # checked now, and kept only by the engine that needs it
    return Artifact(
        manifest,
        vocabulary,
        stopwords,
        _StoredWeights(directory, manifest.files[WEIGHTS]),
        card,
        (lambda: read(ONNX)) if ONNX in manifest.files else None,
        {name: read(name) for name in figures},
        _sha256(raw),
    )


class _StoredWeights(Weights):
    """Weights in a file, read when first asked for: the onnx engine never does."""

    def __init__(self, directory: Path, sha256: str) -> None:
        self._directory = directory
        self._sha256 = sha256

    @cached_property
    def _tensors(self) -> dict[str, NDArray[Any]]:
        path = self._directory / WEIGHTS
        try:
            tensors: dict[str, NDArray[Any]] = load_tensors(
                _read_checked(self._directory, WEIGHTS, self._sha256)
            )
        except (SafetensorError, KeyError, ValueError) as error:
            raise ArtifactError(f"{path} holds no tensors: {error}") from None
        for name, tensor in tensors.items():
            if not np.isfinite(tensor).all():
                raise ArtifactError(f"{path}: {name} holds values that are not finite")
        return tensors

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _parse_manifest(raw: bytes, directory: Path) -> Manifest:
    path = directory / MANIFEST
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        raise ArtifactError(f"{path} is not JSON") from None
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has format version {version!r}; this release reads {FORMAT_VERSION}"
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ArtifactError(f"{path}: {place}: {first['msg']}") from None
    if manifest.labels != LABELS:
        raise ArtifactError(f"{path}: labels must be {', '.join(LABELS)} in this order")
    return manifest


def _read(directory: Path, name: str) -> bytes:
    try:
        return (directory / name).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{directory / name} cannot be read: {error.strerror}") from None


def _read_checked(directory: Path, name: str, sha256: str) -> bytes:
    content = _read(directory, name)
    if _sha256(content) != sha256:
        raise ArtifactError(f"{directory / name} is not the file that the manifest describes")
    return content


def _half_precision(weights: Weights) -> dict[str, NDArray[Any]]:
    return {name: weights[name].astype(np.float16) for name in sorted(weights)}


def to_lines(words: Iterable[str]) -> bytes:
    """Words as a text file, one a line; ``from_lines`` is the inverse."""
    return "".join(f"{word}\n" for word in words).encode()


def from_lines(content: bytes) -> list[str]:
    """The words of a text file that ``to_lines`` made; a line holds any character but its end."""
    return content.decode().split("\n")[:-1]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
