"""The artifact: one directory of readable, versioned files. ``load`` is the inverse of ``save``."""

import hashlib
import json
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from model.config import LABELS, Label, Name, NetworkConfig, TextConfig, Version
from model.errors import ArtifactError, one_line
from model.files import read_file
from model.onnx_graph import check_graph
from model.text.custom_words import NO_CUSTOM_WORDS, CustomWords
from model.text.encoding import Encoder
from model.text.pipeline import TextPipeline, is_cjk
from model.text.vocabulary import Vocabulary

FORMAT_VERSION: Final = 1

MANIFEST = "manifest.json"
VOCABULARY = "vocab.txt"
STOPWORDS = "stopwords.txt"
WEIGHTS = "weights.safetensors"
ONNX = "model.int8.onnx"
CARD = "MODEL_CARD.md"
_FILES = (VOCABULARY, STOPWORDS, WEIGHTS, CARD)
_FIGURE = re.compile(r"[a-z]+\.png")

_MEBIBYTE = 1024**2
# Bytes that a file may have: at least twenty times what those of the shipped artifact have, and
# so few that they fit into memory where the service is meant to run.
_MAX_BYTES = {MANIFEST: _MEBIBYTE, WEIGHTS: 512 * _MEBIBYTE, ONNX: 512 * _MEBIBYTE}
_DEFAULT_MAX_BYTES = 32 * _MEBIBYTE

EMBEDDING = "reader.embedding.weight"

# Upper edges of the bins that confidences are counted in; the lowest confidence is a third.
CONFIDENCE_BINS: Final = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

Weights = Mapping[str, NDArray[Any]]

Ratio = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DriftBaseline(BaseModel):
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
    def _every_label_has_a_share(self) -> "DriftBaseline":
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

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format_version: Literal[1]
    name: Name
    version: Version
    labels: tuple[Label, ...]
    text: TextConfig
    network: NetworkConfig
    temperature: Annotated[float, Field(ge=0.01, le=100)]
    uncertain_below: Annotated[float, Field(ge=0, le=1)]
    training_data: Sha256
    metrics: dict[str, dict[str, float]]
    reference: DriftBaseline | None = None
    onnx: dict[str, dict[str, float]] = {}
    files: Annotated[dict[str, Sha256], Field(max_length=20)] = {}


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

    def with_drift_baseline(self, baseline: DriftBaseline) -> "Artifact":
        """Return this artifact with another drift baseline in its manifest."""
        manifest = self.manifest.model_copy(update={"reference": baseline})
        return replace(self, manifest=manifest)

    def encoder(self, words: CustomWords = NO_CUSTOM_WORDS) -> Encoder:
        """The one way from text to ids for this artifact."""
        pipeline = TextPipeline(
            {*self.stopwords, *words.stopwords} - {*words.kept},
            [*self.manifest.text.user_words, *filter(is_cjk, words.user)],
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
    """The artifact in a directory, once all of it has been checked.

    Whoever can write into the directory can write hashes that fit. So what they cover is checked
    too: every number of the manifest, the names, types, shapes and values of the weights, and the
    graph in ONNX. Nothing is read from outside the directory.

    Raises:
        ArtifactError: says in one sentence what is wrong with which file.
    """
    # Of a symbolic link that is turned meanwhile or later, what it names now.
    directory = Path(os.path.realpath(directory))
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

    with _as_artifact_error(directory / VOCABULARY):
        vocabulary = Vocabulary(from_lines(read(VOCABULARY)))
    with _as_artifact_error(directory / STOPWORDS):
        stopwords = tuple(from_lines(read(STOPWORDS)))
    with _as_artifact_error(directory / CARD):
        card = read(CARD).decode()

    # Both are checked now, and kept only by the engine that needs them.
    shapes = weight_shapes(len(vocabulary), manifest.network)

    def read_weights() -> Weights:
        return _parse_weights(read(WEIGHTS), shapes, directory / WEIGHTS)

    read_weights()
    if ONNX in manifest.files:
        with _as_artifact_error(directory / ONNX):
            check_graph(read(ONNX), len(vocabulary), manifest.network)
    return Artifact(
        manifest,
        vocabulary,
        stopwords,
        _StoredWeights(read_weights),
        card,
        partial(read, ONNX) if ONNX in manifest.files else None,
        {name: read(name) for name in figures},
        _sha256(raw),
    )


def weight_shapes(vocabulary_size: int, config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights by name, as ``model.network`` has them."""
    size, hidden = config.embedding_size, config.hidden_size
    lstm = {
        "weight_ih_l0": (4 * hidden, size),
        "weight_hh_l0": (4 * hidden, hidden),
        "bias_ih_l0": (4 * hidden,),
        "bias_hh_l0": (4 * hidden,),
    }
    return {
        EMBEDDING: (vocabulary_size, size),
        **{f"reader.forward_lstm.{name}": shape for name, shape in lstm.items()},
        **{f"reader.backward_lstm.{name}": shape for name, shape in lstm.items()},
        "attention.weight": (1, 2 * hidden),
        "attention.bias": (1,),
        "output.weight": (len(LABELS), 6 * hidden),
        "output.bias": (len(LABELS),),
    }


@contextmanager
def _as_artifact_error(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ArtifactError(f"{path} cannot be used: {error}") from None


class _StoredWeights(Weights):
    """Weights in a file, read when first asked for: the onnx engine never does."""

    def __init__(self, read: Callable[[], Weights]) -> None:
        self._read = read

    @cached_property
    def _tensors(self) -> Weights:
        return self._read()

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _parse_weights(content: bytes, shapes: Mapping[str, tuple[int, ...]], path: Path) -> Weights:
    try:
        tensors: dict[str, NDArray[Any]] = load_tensors(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ArtifactError(f"{path} holds no tensors: {one_line(str(error))}") from None
    if tensors.keys() != shapes.keys():
        raise ArtifactError(f"{path} must hold {', '.join(shapes)} and nothing else")
    for name, tensor in tensors.items():
        if tensor.dtype != np.float16 or tensor.shape != shapes[name]:
            raise ArtifactError(
                f"{path}: {name} is {tensor.dtype} of shape {tensor.shape}, but {MANIFEST} and "
                f"{VOCABULARY} ask for float16 of shape {shapes[name]}"
            )
        if not np.isfinite(tensor).all():
            raise ArtifactError(f"{path}: {name} holds values that are not finite")
    return tensors


def _parse_manifest(raw: bytes, directory: Path) -> Manifest:
    path = directory / MANIFEST
    try:
        content = json.loads(
            raw.decode(), object_pairs_hook=_reject_duplicate_keys, parse_constant=_reject_constant
        )
        version = content.get("format_version") if isinstance(content, dict) else None
        # Of the bool true too, which Python takes for a 1.
        if type(version) is not int or version != FORMAT_VERSION:
            raise ArtifactError(
                f"{path} has format version {reprlib.repr(version)}; this release reads "
                f"{FORMAT_VERSION}"
            )
        # From JSON, so that strictly no type is taken for another, but lists are tuples.
        manifest = Manifest.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise ArtifactError(f"{path}: {one_line(place)}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not JSON: {error}") from None
    if manifest.labels != LABELS:
        raise ArtifactError(f"{path}: labels must be {', '.join(LABELS)} in this order")
    return manifest


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a key that stands twice, parsers differ in which one holds."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("duplicate key")
    return content


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a valid number")


def _read(directory: Path, name: str) -> bytes:
    path = directory / name
    limit = _MAX_BYTES.get(name, _DEFAULT_MAX_BYTES)
    if not Path(os.path.realpath(path)).is_relative_to(directory):
        raise ArtifactError(f"{path} points outside the artifact directory")
    try:
        return read_file(path, limit)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None


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
    """The words of a text file that ``to_lines`` made; a line holds any character but its end.

    Raises:
        ValueError: it is not UTF-8, or its last line has no end.
    """
    *words, rest = content.decode().split("\n")
    if rest:
        raise ValueError("the last line has no newline")
    return words


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
