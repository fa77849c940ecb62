"""Lines from outside: split wherever a part ends, and parsed whatever they hold."""

import pytest

from model.lines import LineError, LineSplitter, has_lone_surrogate, parse_json

MAX_BYTES = 1000


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_lines_come_apart_wherever_a_body_is_cut(size: int) -> None:
    long = b"x" * MAX_BYTES
    body = b"\n".join([b"a", b"", long, long + b"yz", b"b", long + b"y", b"c"])
    lines = LineSplitter(MAX_BYTES)
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    cut = [
        line
        for number, piece in enumerate(parts, start=1)
        for line in lines.split(piece, last=number == len(parts))
    ]
    assert cut == [b"a", b"", long, None, b"b", None, b"c"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\xff", "not UTF-8"),
        (b"{", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"1" * 5000, "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_not_a_line_of_json_is_named(line: bytes, message: str) -> None:
    with pytest.raises(LineError, match=message):
        parse_json(line)


def test_half_of_a_surrogate_pair_is_found() -> None:
    assert has_lone_surrogate(parse_json(b'"\\ud83d"'))
    assert not has_lone_surrogate(parse_json(b'"\\ud83d\\ude02"'))
