"""The adapters, asked by clients that others wrote, which are told another address alone."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.adapters import ALL
from tests.support.http import wait_ready
from tests.support.process import served

pytestmark = pytest.mark.process

TEXTS = ["房间很好", "早餐很差", "电影在三楼"]
LABELS = ["positive", "negative", "neutral"]


@pytest.fixture(scope="module")
def address(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("compat") / "log"
    with served(tiny_artifact, log, SENTIMENT_COMPAT=ALL) as (_, address):
        wait_ready(address)
        yield address


# Triton's.


@pytest.fixture
def triton(address: str) -> Iterator[Any]:
    http = pytest.importorskip("tritonclient.http")
    with http.InferenceServerClient(address.removeprefix("http://")) as client:
        yield client


@pytest.mark.parametrize("in_binary", [True, False])
@pytest.mark.parametrize("out_binary", [True, False, None])
def test_tritonclient(triton: Any, in_binary: bool, out_binary: bool | None) -> None:
    from tritonclient.http import InferInput, InferRequestedOutput

    given = InferInput("text", [3], "BYTES")
    given.set_data_from_numpy(
        np.array([text.encode() for text in TEXTS], dtype=np.object_), binary_data=in_binary
    )
    outputs = out_binary is not None and [
        InferRequestedOutput(name, binary_data=out_binary) for name in ("label", "probabilities")
    ]
    result = triton.infer("custom", [given], request_id="42", outputs=outputs or None)
    assert result.get_response()["id"] == "42"
    labels = [
        str(label, "utf-8") if isinstance(label, bytes) else label
        for label in result.as_numpy("label")
    ]
    assert labels == LABELS
    probabilities = result.as_numpy("probabilities")
    assert (probabilities.shape, probabilities.dtype) == ((3, 3), np.float32)
    assert probabilities.argmax(axis=1).tolist() == [0, 2, 1]
    assert probabilities.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)


def test_tritonclient_asks_about_server_and_model(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("custom")
    assert triton.is_model_ready("custom", "0.1.0")
    assert not triton.is_model_ready("other")
    assert triton.get_server_metadata()["name"] == "zh-sentiment"
    metadata = triton.get_model_metadata("custom", "0.1.0")
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]


def test_tritonclient_raises_our_errors(triton: Any) -> None:
    from tritonclient.http import InferInput
    from tritonclient.utils import InferenceServerException

    given = InferInput("text", [2], "BYTES")
    given.set_data_from_numpy(np.array([b"a", b" "], dtype=np.object_))
    with pytest.raises(InferenceServerException, match=r"text\.1: the text is empty") as error:
        triton.infer("custom", [given])
    assert error.value.status() == "422"
    with pytest.raises(InferenceServerException, match="no such model"):
        triton.infer("other", [given])


# The Hugging Face Hub's.


def test_huggingface_hub(address: str) -> None:
    hub = pytest.importorskip("huggingface_hub")
    client = hub.InferenceClient(model=address)
    for text, label in zip(TEXTS, LABELS, strict=True):
        ranked = client.text_classification(text)
        assert ranked[0].label == label
        assert sum(each.score for each in ranked) == pytest.approx(1, abs=1e-5)
    assert len(client.text_classification(TEXTS[0], top_k=2)) == 2
    with pytest.raises(hub.errors.HfHubHTTPError, match="413"):
        client.text_classification(" ")
    # Where TEI's own clients ask, it reads the first label alone, as with TEI.
    assert hub.InferenceClient(model=f"{address}/predict").text_classification(TEXTS[1]).label == (
        "negative"
    )


# Baidu's.


@pytest.mark.parametrize("charset", ["", "?charset=UTF-8"])
def test_baidu_aip(address: str, charset: str) -> None:
    aip = pytest.importorskip("aip")
    client = aip.AipNlp("application", "key", "secret")
    client._AipBase__accessTokenUrl = f"{address}/oauth/2.0/token"
    client._AipNlp__sentimentClassifyUrl = f"{address}/rpc/2.0/nlp/v1/sentiment_classify{charset}"
    with closing(client.s):
        for text, sentiment in zip(TEXTS, [2, 0, 1], strict=True):
            answer = client.sentimentClassify(text)
            assert answer["text"] == text
            assert answer["items"][0]["sentiment"] == sentiment
        assert client.sentimentClassify(" ") == {
            "error_code": 282004,
            "error_msg": "the text is empty or blank",
        }
