"""The public names of the model: all there, and free until they are used."""

import subprocess
import sys

import pytest

import model


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a process loads for a statement."""
    program = f"import sys; {statement}; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


@pytest.mark.parametrize("name", model.__all__)
def test_every_public_name_is_loaded_from_where_it_is_defined(name: str) -> None:
    value = getattr(model, name)
    assert getattr(value, "__module__", "model.").startswith(("model.", "typing"))


def test_an_unknown_name_is_an_attribute_error() -> None:
    name = "Classifer"
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
        getattr(model, name)


@pytest.mark.process
def test_importing_the_model_loads_nothing_else() -> None:
    heavy = {"numpy", "onnxruntime", "pydantic", "rjieba", "torch"}
    assert not heavy & loaded_by("import model")


@pytest.mark.process
def test_the_public_names_load_neither_torch_nor_a_web_framework() -> None:
    loaded = loaded_by("from model import *")
    assert "model.classifier" in loaded
    assert not {"fastapi", "starlette", "torch", "uvicorn"} & loaded
