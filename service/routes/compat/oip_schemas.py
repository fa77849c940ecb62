"""The wire format of the Open Inference Protocol."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from service.routes.compat.adapter import MAX_INTEGER, Texts

OutputName = Literal["label", "probabilities"]


class InputParameters(BaseModel):
    """How the data of an input is sent."""

    binary_data_size: Annotated[int, Field(ge=0, le=MAX_INTEGER)] | None = Field(
        default=None, description="Bytes after the JSON, instead of `data`."
    )


class InferInput(BaseModel):
    """The one input: n texts."""

    name: Literal["text"]
    shape: Annotated[
        list[Annotated[int, Field(ge=0, le=MAX_INTEGER)]],
        Field(min_length=1, max_length=2, fail_fast=True, description="[n], or [n, 1]"),
    ]
    datatype: Literal["BYTES"]
    data: Texts | None = None
    parameters: InputParameters = InputParameters()


class OutputParameters(BaseModel):
    """How an output is to be sent; options that would change its meaning are refused."""

    binary_data: bool | None = None
    classification: None = None
    shared_memory_region: None = None


class RequestedOutput(BaseModel):
    """A requested output."""

    name: OutputName
    parameters: OutputParameters = OutputParameters()


class RequestParameters(BaseModel):
    """How outputs without parameters of their own are to be sent."""

    binary_data_output: bool = False


class InferRequest(BaseModel):
    """Texts, and the requested outputs: all of them by default."""

    id: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, description="Returned with the outputs."
    )
    inputs: Annotated[list[InferInput], Field(min_length=1, max_length=1)]
    outputs: Annotated[list[RequestedOutput], Field(max_length=2)] = []
    parameters: RequestParameters = RequestParameters()


class BinaryParameters(BaseModel):
    """Where to find the data of a binary output."""

    binary_data_size: int = Field(description="Bytes after the JSON, instead of `data`.")


class InferOutput(BaseModel):
    """An output for n texts."""

    name: OutputName
    shape: list[int]
    datatype: Literal["BYTES", "FP32"]
    data: list[str] | list[float] | None = None
    parameters: BinaryParameters | None = None


class InferResponse(BaseModel):
    """The outputs, and which model gave them."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferOutput]


class TensorMetadata(BaseModel):
    """An input or output; -1 stands for any number of texts."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """The inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """The server and its extensions."""

    name: Literal["zh-sentiment"] = "zh-sentiment"
    version: str
    extensions: list[str]


class Live(BaseModel):
    """The process runs."""

    live: Literal[True] = True


class Ready(BaseModel):
    """The service takes requests."""

    ready: Literal[True] = True


class ModelReady(Ready):
    """The model takes requests."""

    name: str


class InferError(BaseModel):
    """An error."""

    error: str
