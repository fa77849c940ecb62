"""Coverage-guided fuzzing of what turns text into ids, by atheris: requirements/fuzz.txt.

    .venv/bin/python -m bench.fuzz_text [-max_total_time=300]

Arguments are libFuzzer's. It stops at the first input that breaks a promise, and prints it.
"""

import sys

try:
    import atheris
except ImportError:
    sys.exit("atheris is not installed: pip install -r requirements/fuzz.txt")

with atheris.instrument_imports(include=["model.text"]):
    from model.classifier import Classifier
    from model.text.normalization import normalize
    from model.text.sentences import split_sentences

from service.settings import SHIPPED_MODEL

LONGEST = 10_000
ENCODER = Classifier.load(SHIPPED_MODEL, engine="onnx").encoder


def promises(text: str) -> None:
    """What holds for any string.

    Raises:
        AssertionError: it does not.
    """
    normalized = normalize(text)
    assert len(normalized.text) <= 4 * len(text)
    tokens = ENCODER.pipeline.tokenize(text)
    end = 0
    for token in tokens:
        assert token.normalized
        assert 0 <= token.offset < token.offset + token.length <= len(text)
        assert token.offset + token.length >= end
        end = token.offset + token.length
    if text:
        encoding = ENCODER.encode(text)
        assert encoding == ENCODER.encode(text)
        assert encoding.characters == len(text)
        assert all(0 < len(window) <= ENCODER.window for window in encoding.windows)
    end = 0
    for offset, length in split_sentences(text):
        assert not text[end:offset].strip()
        assert length > 0
        end = offset + length
    assert not text[end:].strip()


def one_input(data: bytes) -> None:
    """Half of the inputs are code points, lone surrogates included, half are Chinese mostly."""
    provider = atheris.FuzzedDataProvider(data)
    if provider.ConsumeBool():
        promises(provider.ConsumeUnicode(LONGEST))
    else:
        promises(data.decode("utf-8", errors="ignore")[:LONGEST])


def main() -> None:
    """Runs until it is stopped, or the time that was given is over."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
