"""The ONNX graph that is built from int8 weights, without the package onnx."""

import hashlib
import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from model.artifact import Weights
from model.config import NetworkConfig
from model.network_shapes import float16_tensors, int8_tensors
from model.onnx_graph import build_graph
from model.training.quantisation import quantise

WORDS = 12
CONFIG = NetworkConfig(embedding_size=4, hidden_size=3)


def numbers(start: int, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """Return float16 values that are exact, so that each platform makes the same."""
    steps = np.arange(start, start + math.prod(shape))
    return ((steps * 37 % 101 - 50) / 64).astype(np.float16).reshape(shape)


def small_network() -> Weights:
    specs = float16_tensors(WORDS, CONFIG).items()
    return {name: numbers(start, spec.shape) for start, (name, spec) in enumerate(specs)}


def test_export_makes_the_tensors_that_loading_expects() -> None:
    tensors = quantise(small_network())
    specs = int8_tensors(WORDS, CONFIG)
    assert list(tensors) == list(specs)
    for name, spec in specs.items():
        assert (tensors[name].dtype, tensors[name].shape) == (spec.dtype, spec.shape), name
        assert spec.limits
        assert spec.limits[0] <= tensors[name].min() <= tensors[name].max() <= spec.limits[1], name


def test_the_graph_is_valid_and_holds_the_tensors() -> None:
    tensors = quantise(small_network())
    model = onnx.load_from_string(build_graph(tensors))
    onnx.checker.check_model(model, full_check=True)
    stored = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(stored[name], tensor)
    assert model.SerializeToString() == build_graph(tensors)


def test_the_graph_stays_what_it_was() -> None:
    """The file that onnx.parser made of it when artifacts had format 1."""
    digest = hashlib.sha256(build_graph(quantise(small_network()))).hexdigest()
    assert digest == "b25aa6213b68ac3e07c68da8bc78ed187398f7434a7a84a0fbdeddca4b378ede"
