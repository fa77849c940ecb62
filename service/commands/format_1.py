"""Artifacts of format 1, whose int8 network was an ONNX file; `sentiment repack` converts them."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from model import Artifact, ArtifactError
from model import artifact as artifacts
from model.artifact import MANIFEST
from model.onnx_graph import build_graph
from model.training.quantisation import quantise

ONNX = "model.int8.onnx"
_RENAMED_KEYS = {"reference": "drift_baseline", "onnx": "int8"}


def load_format_1(directory: Path) -> Artifact:
    """Read an artifact of format 1.

    Raises:
        ArtifactError: it has another format, cannot be used, or its ONNX file is not what its
            weights are quantised to.
    """
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format_version") != 1:
        raise ArtifactError(f"{path} is not of format version 1; only that can be converted")
    graph_hash = None
    if isinstance(manifest.get("files"), dict):
        graph_hash = manifest["files"].pop(ONNX, None)
    renamed = {_RENAMED_KEYS.get(key, key): value for key, value in manifest.items()}
    converted = {**renamed, "format_version": artifacts.FORMAT_VERSION}
    artifact = artifacts.load_files(directory, json.dumps(converted).encode())
    if graph_hash is None:
        return artifact
    tensors = quantise(artifact.weights)
    if hashlib.sha256(build_graph(tensors)).hexdigest() != graph_hash:
        raise ArtifactError(
            f"{directory / ONNX} is not the int8 network of {artifacts.WEIGHTS}; remove it from "
            f"files in {MANIFEST}, and run sentiment export after the conversion"
        )
    return replace(artifact, int8_weights=tensors)
