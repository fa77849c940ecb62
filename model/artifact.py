"""The artifact: a directory of readable, versioned files that hold data and no program.

``load`` is the inverse of ``save``.
"""

import hashlib
import json
import mmap
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from gettext import gettext as _
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from model.config import LABELS, Label, Name, NetworkConfig, TextConfig, Version
from model.errors import ArtifactError, one_line
from model.files import map_file, read_file, replacing
from model.network_shapes import TensorSpec, float16_tensors, int8_tensors
from model.text.custom_words import NO_CUSTOM_WORDS, CustomWords
from model.text.encoding import Encoder
from model.text.pipeline import TextPipeline, is_cjk
from model.text.vocabulary import Vocabulary

FORMAT_VERSION: Final = 2

MANIFEST = "manifest.json"
VOCABULARY = "vocab.txt"
STOPWORDS = "stopwords.txt"
WEIGHTS = "weights.safetensors"
INT8_WEIGHTS = "weights.int8.safetensors"
CARD = "MODEL_CARD.md"
_FILES = (VOCABULARY, STOPWORDS, WEIGHTS, CARD)
_FIGURE = re.compile(r"[a-z]+\.png")

_T = TypeVar("_T")

_MEBIBYTE = 1024**2
# Maximum file sizes in bytes: at least twenty times those of the shipped artifact, and small enough
# to fit into memory where the service is meant to run.
_MAX_BYTES = {
    MANIFEST: _MEBIBYTE,
    WEIGHTS: 512 * _MEBIBYTE,
    INT8_WEIGHTS: 512 * _MEBIBYTE,
}
_DEFAULT_MAX_BYTES = 32 * _MEBIBYTE

# Upper edges of the bins that confidences are counted in; no confidence is below a third.
CONFIDENCE_BINS: Final = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

Weights = Mapping[str, NDArray[Any]]

Ratio = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DriftBaseline(BaseModel):
    """What a model's answers look like on known texts, which drift is measured against.

    ``labels`` is the share of each label, ``confidence`` the share of each of ``CONFIDENCE_BINS``,
    and ``unknown`` the share of tokens that the vocabulary lacks.
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
    """What an artifact says about itself.

    ``files`` maps file names to their SHA-256, ``training_data`` is a digest over the training
    examples, ``temperature`` divides the logits before the softmax, and an answer is ``uncertain``
    below ``uncertain_below``. ``drift_baseline`` describes the answers on dev; without it drift
    cannot be measured. ``int8`` says for each split how far answers by the int8 weights agree with
    those by the float16 weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format_version: Literal[2]
    name: Name
    version: Version
    labels: tuple[Label, ...]
    text: TextConfig
    network: NetworkConfig
    temperature: Annotated[float, Field(ge=0.01, le=100)]
    uncertain_below: Annotated[float, Field(ge=0, le=1)]
    training_data: Sha256
    metrics: dict[str, dict[str, float]]
    drift_baseline: DriftBaseline | None = None
    int8: dict[str, dict[str, float]] = {}
    files: Annotated[dict[str, Sha256], Field(max_length=20)] = {}


@dataclass(frozen=True)
class Artifact:
    """A checked artifact.

    ``weights`` are float16, ``int8_weights`` are what the onnx engine runs, if there are any; see
    ``network_shapes``. ``figures`` are the card's pictures by file name, and ``digest`` is the
    SHA-256 of the manifest, which covers every file.
    """

    manifest: Manifest
    vocabulary: Vocabulary
    stopwords: tuple[str, ...]
    weights: Weights
    card: str
    int8_weights: Weights | None = None
    figures: dict[str, bytes] = field(default_factory=dict)
    digest: str = ""

    def with_drift_baseline(self, baseline: DriftBaseline) -> "Artifact":
        """Return this artifact with another drift baseline in its manifest."""
        manifest = self.manifest.model_copy(update={"drift_baseline": baseline})
        return replace(self, manifest=manifest)

    def encoder(self, words: CustomWords = NO_CUSTOM_WORDS) -> Encoder:
        """Return the only way from text to ids for this artifact."""
        pipeline = TextPipeline(
            {*self.stopwords, *words.stopwords} - {*words.kept},
            [*self.manifest.text.user_words, *filter(is_cjk, words.user)],
        )
        return Encoder(pipeline, self.vocabulary, self.manifest.text.window)


def save(artifact: Artifact, directory: Path) -> None:
    """Write the files of an artifact, and their hashes into its manifest.

    Weights are stored as float16; round them first to get the same predictions from memory and
    from disk.
    """
    directory.mkdir(parents=True, exist_ok=True)
    contents = {
        VOCABULARY: to_lines(artifact.vocabulary.words),
        STOPWORDS: to_lines(artifact.stopwords),
        WEIGHTS: save_tensors(_half_precision(artifact.weights)),
        CARD: artifact.card.encode(),
        **artifact.figures,
    }
    if artifact.int8_weights is not None:
        contents[INT8_WEIGHTS] = save_tensors(dict(artifact.int8_weights))
    hashes = {name: _sha256(content) for name, content in contents.items()}
    manifest = artifact.manifest.model_copy(update={"files": hashes})
    for picture in directory.glob("*.png"):  # of an earlier card
        picture.unlink()
    (directory / INT8_WEIGHTS).unlink(missing_ok=True)  # of other weights
    text = json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False, indent=2)
    for name, content in {**contents, MANIFEST: f"{text}\n".encode()}.items():
        with replacing(directory / name) as path:
            path.write_bytes(content)


def load(directory: Path) -> Artifact:
    """Read the artifact in a directory and check all of it.

    Anyone who can write into the directory can write matching hashes, so hashes find damage, not
    malice. What they cover is checked too: every number of the manifest, and the names, types,
    shapes and values of the weights. Nothing outside the directory is read.

    Weights are mapped, not copied, into memory: they take up memory only while they are used, and
    processes share them. A mapped file may be replaced or deleted, but not overwritten in place.

    Raises:
        ArtifactError: says in one sentence what is wrong with which file.
    """
    # Resolve symbolic links once, so that all files come from the same version.
    directory = Path(os.path.realpath(directory))
    return load_files(directory, _read(directory, MANIFEST, read_file))


def load_files(directory: Path, raw_manifest: bytes) -> Artifact:
    """Read and check the files in a directory by a manifest, as ``load`` does."""
    directory = Path(os.path.realpath(directory))
    manifest = _parse_manifest(raw_manifest, directory)
    figures = sorted(name for name in manifest.files if _FIGURE.fullmatch(name))
    if manifest.files.keys() - {*figures, INT8_WEIGHTS} != set(_FILES):
        raise ArtifactError(
            f"{directory / MANIFEST}: files must be {', '.join(_FILES)}, and may be {INT8_WEIGHTS} "
            "and pictures of the card"
        )

    def read(name: str) -> bytes:
        return _check_hash(
            _read(directory, name, read_file), directory / name, manifest.files[name]
        )

    def tensors(name: str, specs: Mapping[str, TensorSpec]) -> Weights:
        content, mapped = _read(directory, name, map_file)
        _check_hash(content, directory / name, manifest.files[name])
        return _parse_tensors(content, mapped, specs, directory / name)

    with _as_artifact_error(directory / VOCABULARY):
        vocabulary = Vocabulary(from_lines(read(VOCABULARY)))
    with _as_artifact_error(directory / STOPWORDS):
        stopwords = tuple(from_lines(read(STOPWORDS)))
    with _as_artifact_error(directory / CARD):
        card = read(CARD).decode()
    sizes = len(vocabulary), manifest.network
    return Artifact(
        manifest,
        vocabulary,
        stopwords,
        tensors(WEIGHTS, float16_tensors(*sizes)),
        card,
        tensors(INT8_WEIGHTS, int8_tensors(*sizes)) if INT8_WEIGHTS in manifest.files else None,
        {name: read(name) for name in figures},
        _sha256(raw_manifest),
    )


@contextmanager
def _as_artifact_error(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ArtifactError(f"{path} cannot be used: {error}") from None


def _parse_tensors(
    content: bytes, mapped: mmap.mmap, specs: Mapping[str, TensorSpec], path: Path
) -> Weights:
    """Return the tensors of a safetensors file as views of ``mapped``, which has this content."""
    try:
        tensors: dict[str, NDArray[Any]] = load_tensors(content)
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start], object_pairs_hook=_reject_duplicate_keys)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ArtifactError(f"{path} holds no tensors: {one_line(str(error))}") from None
    if tensors.keys() != specs.keys():
        raise ArtifactError(f"{path} must hold {', '.join(specs)} and nothing else")
    for name, spec in specs.items():
        _check_tensor(f"{path}: {name}", tensors[name], spec)
    # safetensors itself only returns copies.
    return {
        name: np.ndarray(spec.shape, spec.dtype, mapped, start + header[name]["data_offsets"][0])
        for name, spec in specs.items()
    }


def _check_tensor(name: str, tensor: NDArray[Any], spec: TensorSpec) -> None:
    if (tensor.dtype, tensor.shape) != (spec.dtype, spec.shape):
        raise ArtifactError(
            f"{name} is {tensor.dtype} of shape {tensor.shape}, but {MANIFEST} and {VOCABULARY} "
            f"require {spec.dtype} of shape {spec.shape}"
        )
    if not np.isfinite(tensor).all():
        raise ArtifactError(f"{name} holds values that are not finite")
    if spec.limits:
        lowest, highest = spec.limits
        if tensor.min() < lowest or tensor.max() > highest:
            raise ArtifactError(f"{name} holds values outside {lowest:g} to {highest:g}")


def _parse_manifest(raw: bytes, directory: Path) -> Manifest:
    path = directory / MANIFEST
    try:
        content = json.loads(
            raw.decode(), object_pairs_hook=_reject_duplicate_keys, parse_constant=_reject_constant
        )
        version = content.get("format_version") if isinstance(content, dict) else None
        # True == 1 in Python, so compare the exact type.
        if type(version) is not int or version != FORMAT_VERSION:
            shown = reprlib.repr(version)
            advice = f": run sentiment repack {directory} to convert it" if shown == "1" else ""
            raise ArtifactError(
                f"{path} has format version {shown}; this release reads {FORMAT_VERSION}{advice}"
            )
        # From JSON, where strict mode converts no type but lists to tuples.
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
    """Return a JSON object; parsers differ in which value of a duplicate key they keep."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("duplicate key")
    return content


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a valid number")


def _read(directory: Path, name: str, read: Callable[[Path, int], _T]) -> _T:
    """Read a file of the directory that is within its size limit, and no link to one outside."""
    path = directory / name
    if not Path(os.path.realpath(path)).is_relative_to(directory):
        raise ArtifactError(f"{path} points outside the artifact directory")
    try:
        return read(path, _MAX_BYTES.get(name, _DEFAULT_MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError) as error:
        if name != MANIFEST:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
        raise ArtifactError(
            _(
                "{directory} is not an artifact, for it has no {manifest}; name the directory that "
                "sentiment train wrote, such as runs/adapted/artifact"
            ).format(directory=directory, manifest=MANIFEST)
        ) from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None


def _check_hash(content: bytes, path: Path, sha256: str) -> bytes:
    if _sha256(content) != sha256:
        raise ArtifactError(f"{path} is not the file that the manifest describes")
    return content


def _half_precision(weights: Weights) -> dict[str, NDArray[Any]]:
    return {name: weights[name].astype(np.float16) for name in sorted(weights)}


def to_lines(words: Iterable[str]) -> bytes:
    """Return words as a text file, one per line; ``from_lines`` is the inverse."""
    return "".join(f"{word}\n" for word in words).encode()


def from_lines(content: bytes) -> list[str]:
    """Return the words of a text file that ``to_lines`` made.

    Raises:
        ValueError: it is not UTF-8, or its last line has no newline.
    """
    *words, rest = content.decode().split("\n")
    if rest:
        raise ValueError("the last line has no newline")
    return words


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
