"""Requests as no honest client sends them, byte for byte, and the statuses that may answer them.

A status is three digits; ``closed`` is a connection that ended without an answer.
"""

import gzip
import json
import random
import zlib
from dataclasses import dataclass
from typing import Any

CLOSED = "closed"
_JSON = "Content-Type: application/json"
_CHUNKED = "Transfer-Encoding: chunked"
_STREAM = "/v1/predict/stream"
_TEXT = '{"text": "房间很好"}'.encode()
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Shape:
    """What is sent on a connection of its own.

    ``statuses`` are those that may answer. A ``waits`` shape leaves the service waiting for more:
    its answer takes as long as the deadline.
    """

    group: str
    name: str
    sent: bytes
    statuses: frozenset[str]
    waits: bool = False


def request(*headers: str | bytes, body: bytes = b"", line: str = "POST /v1/predict") -> bytes:
    """A request with a host; the length of its body is for the headers to tell."""
    lines: list[bytes] = [f"{line} HTTP/1.1".encode("latin-1"), b"Host: localhost"]
    lines += [header.encode() if isinstance(header, str) else header for header in headers]
    return b"\r\n".join([*lines, b"", body])


def post(body: bytes, *headers: str, path: str = "/v1/predict") -> bytes:
    """A request with a body of its length, in JSON unless the headers say otherwise."""
    kind = () if any(header.lower().startswith("content-type") for header in headers) else (_JSON,)
    length = f"Content-Length: {len(body)}"
    return request(*kind, *headers, length, body=body, line=f"POST {path}")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _lengths() -> dict[str, tuple[bytes, str]]:
    def with_length(*lengths: str) -> bytes:
        return request(_JSON, *(f"Content-Length: {length}" for length in lengths), body=_TEXT)

    return {
        "negative": (with_length("-5"), "400"),
        "not a number": (with_length("abc"), "400"),
        "hexadecimal": (with_length("0x10"), "400"),
        "signed": (with_length(f"+{len(_TEXT)}"), "400"),
        "empty": (with_length(""), "400"),
        "a list": (with_length(f"{len(_TEXT)}, {len(_TEXT)}"), "400"),
        "of other digits": (with_length("２３"), "400"),
        "two that differ": (with_length(str(len(_TEXT)), "5"), "400"),
        "two that agree": (with_length(str(len(_TEXT)), str(len(_TEXT))), "400"),
        "beyond 64 bits": (with_length("9" * 30), "400"),
        "a hundred megabytes": (with_length("100000000"), "413"),
        # What is left over is no request.
        "shorter than the body": (with_length("9"), "400"),
        "none": (request(_JSON, body=_TEXT), "400"),
    }


def _chunks() -> dict[str, tuple[bytes, str]]:
    def chunked(body: bytes) -> bytes:
        return request(_JSON, _CHUNKED, body=body)

    whole = b"%x\r\n%s\r\n" % (len(_TEXT), _TEXT)
    return {
        "size of no digits": (chunked(b"zz\r\n" + _TEXT), "400"),
        "negative size": (chunked(b"-1\r\n" + _TEXT), "400"),
        "size with 0x": (chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), "400"),
        "size beyond 64 bits": (chunked(b"F" * 17 + b"\r\n" + _TEXT), "400"),
        "size with a space": (chunked(b" 5\r\nhello\r\n0\r\n\r\n"), "400"),
        "junk after a chunk": (chunked(b"5\r\nhelloJUNK\r\n0\r\n\r\n"), "400"),
        "line feeds alone": (chunked(b"5\nhello\n0\n\n"), "400"),
        "an extension": (chunked(whole.replace(b"\r", b";a=b\r", 1) + b"0\r\n\r\n"), "200"),
        "a trailer": (chunked(whole + b"0\r\nX-Request-ID: trailer\r\n\r\n"), "200"),
        # The second is no request.
        "junk after the last chunk": (chunked(whole + b"0\r\n\r\njunk\r\n\r\n"), "200 400"),
        "over the limit": (
            chunked((b"%x\r\n" % _MEBIBYTE + b" " * _MEBIBYTE + b"\r\n") * 3 + b"0\r\n\r\n"),
            "413 closed",
        ),
    }


def _smuggling() -> dict[str, tuple[bytes, str]]:
    hidden = b"0\r\n\r\nGET /v1/model HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def smuggled(*headers: str | bytes, body: bytes = hidden) -> bytes:
        return request(_JSON, *headers, body=body)

    length = f"Content-Length: {len(hidden)}"
    return {
        "length and chunked": (smuggled(length, _CHUNKED), "400"),
        "chunked and length": (smuggled(_CHUNKED, "Content-Length: 4"), "400"),
        "chunked, then identity": (smuggled(_CHUNKED, "Transfer-Encoding: identity"), "400"),
        "identity, then chunked": (smuggled("Transfer-Encoding: identity", _CHUNKED), "400"),
        "chunked is not last": (smuggled("Transfer-Encoding: chunked, gzip"), "400"),
        "unknown encoding and length": (smuggled("Transfer-Encoding: xchunked", length), "400"),
        "chunked after a tab": (smuggled("Transfer-Encoding:\x0bchunked", length), "400"),
        "space before the colon": (smuggled("Transfer-Encoding : chunked", length), "400"),
        "space before the name": (smuggled(" Transfer-Encoding: chunked", length), "400"),
        "folded": (smuggled("X: a\r\n Transfer-Encoding: chunked", length), "400"),
        "folded encoding": (smuggled("Transfer-Encoding:\r\n chunked", length), "400"),
        "carriage return alone": (smuggled("X: a\rTransfer-Encoding: chunked", length), "400"),
        "line feed alone": (smuggled("X: a\nTransfer-Encoding: chunked", length), "400"),
        "line feeds alone": (request(length).replace(b"\r\n", b"\n") + hidden, "400"),
        "null in a name": (smuggled("Transfer\x00-Encoding: chunked", length), "400"),
        "null in a value": (smuggled("Transfer-Encoding: chun\x00ked", length), "400"),
        "no name": (smuggled(": chunked", length), "400"),
        "no colon": (smuggled("Transfer-Encoding chunked", length), "400"),
    }


def _heads() -> dict[str, tuple[bytes, str]]:
    def get(target: str, *headers: str) -> bytes:
        return request("Connection: close", *headers, line=f"GET {target}")

    return {
        "a header of a megabyte": (get("/livez", "X: " + "a" * _MEBIBYTE), "431 closed"),
        "a name of a megabyte": (get("/livez", "a" * _MEBIBYTE + ": x"), "431 closed"),
        "a hundred thousand headers": (get("/livez", *["X: a"] * 100_000), "431 closed"),
        "after another request": (
            request(line="GET /livez") + get("/livez", "X: " + "a" * _MEBIBYTE),
            "200 431 closed",
        ),
        "a path of 100,000": (get("/" + "a" * 100_000), "431 closed"),
        "a query of 10,000": (get("/livez?" + "a" * 10_000), "200"),
        "a method of 10,000": (request(line="A" * 10_000 + " /livez"), "400"),
        "a path out of the folder": (get("/web/../../../etc/passwd"), "404"),
        "the same, escaped": (get("/web/%2e%2e/%2e%2e/%2e%2e/etc/passwd"), "404"),
        "null in the path": (get("/web/%00"), "404"),
        "bytes that are not UTF-8": (get("/%ff%fe"), "404"),
        "bytes beyond ASCII": (get("/\xe4\xbd"), "400 404"),
        "an absolute address": (get("http://elsewhere.example/livez"), "421"),
        "no path": (get("*"), "400 404"),
        "CONNECT": (request(line="CONNECT a:80"), "501"),
        "HTTP/0.9": (b"GET /livez\r\n\r\n", "400"),
        "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
        "HTTP/9.9": (b"GET /livez HTTP/9.9\r\n\r\n", "400"),
        "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"),
        "noise": (bytes(range(256)) * 4 + b"\r\n\r\n", "400"),
    }


def _encodings() -> dict[str, tuple[bytes, str]]:
    bomb = b" " * (64 * _MEBIBYTE)
    packed = {
        "gzip": gzip.compress(bomb, 9),
        "deflate": zlib.compress(bomb, 9),
        # A made-up frame is enough: nothing may look into it.
        "br": b"\x5b\xff\xff\x03" * 1000,
        "zstd": b"\x28\xb5\x2f\xfd" * 1000,
        "gzip, gzip": gzip.compress(gzip.compress(bomb, 9), 9),
    }
    return {
        **{name: (post(body, f"Content-Encoding: {name}"), "415") for name, body in packed.items()},
        "gzip to a stream": (
            post(
                packed["gzip"],
                "Content-Type: application/x-ndjson",
                "Content-Encoding: gzip",
                path=_STREAM,
            ),
            "415",
        ),
        "gzip unsaid": (post(packed["gzip"]), "400"),
    }


def _documents() -> dict[str, tuple[bytes, str]]:
    deep = 100_000
    item = b'{"text":1},'
    bodies = {
        "100,000 arrays deep": (b"[" * deep + b"]" * deep, "413"),
        "100,000 objects deep": (b'{"text":' * deep + b"1" + b"}" * deep, "413"),
        "deep inside a text": (b'{"text":' + b"[" * deep + b"]" * deep + b"}", "413"),
        "8,000 arrays deep": (b"[" * 8000 + b"]" * 8000, "400 422"),
        "8,000 deep inside a text": (b'{"text":' + b"[" * 8000 + b"]" * 8000 + b"}", "400 422"),
        "an infinite exponent": (b'{"text": 1e999999}', "400 422"),
        "100,000 digits": (b'{"text": ' + b"9" * 100_000 + b"}", "400 422"),
        "two million digits": (b'{"text": ' + b"9" * 2_000_000 + b"}", "400 422"),
        "NaN": (b'{"text": NaN}', "400 422"),
        "Infinity": (b'{"text": -Infinity}', "400 422"),
        "a key twice": ('{"text": 1, "text": "很好"}'.encode(), "200 400 422"),
        "150,000 keys": (_json({str(key): 0 for key in range(150_000)}), "413"),
        "4,000 keys": (_json({str(key): 0 for key in range(4000)}), "400 422"),
        "a control character": (b'{"text": "a\x01b"}', "400 422"),
        "half a surrogate pair": (b'{"text": "\\ud800"}', "422"),
        "a pair the wrong way round": (b'{"text": "\\udc00\\ud800"}', "422"),
        "a key of half a pair": (b'{"\\ud800": "a"}', "422"),
        "bytes that are not UTF-8": (b'{"text": "\xff\xfe"}', "400"),
        "UTF-16": ('{"text": "很好"}'.encode("utf-16"), "400"),
        "a byte order mark": (b"\xef\xbb\xbf" + _TEXT, "200 400 422"),
        "never ended": (b'{"text": "' + b"a" * 100_000, "400 422"),
        "white space alone": (b" " * 2_000_000, "400 422"),
        "nothing": (b"", "400 422"),
    }
    batches = {
        "257 items": (_json({"items": [{"text": "好"}] * 257}), "422"),
        "190,000 items that are none": (b'{"items":[' + item * 190_000 + item[:-1] + b"]}", "413"),
        "2,000 items that are none": (b'{"items":[' + item * 2000 + item[:-1] + b"]}", "422"),
        "a million numbers": (b'{"items":[' + b"1," * 1_000_000 + b"1]}", "413"),
        "256 items of 800 keys": (
            _json({"items": [{str(key): 0 for key in range(800)}] * 256}),
            "413",
        ),
        "256 items of 15 keys": (
            _json({"items": [{str(key): 0 for key in range(15)}] * 256}),
            "200 422",
        ),
    }
    return {
        **{name: (post(body), statuses) for name, (body, statuses) in bodies.items()},
        **{
            f"batch: {name}": (post(body, path="/v1/predict/batch"), statuses)
            for name, (body, statuses) in batches.items()
        },
    }


def _hostile_texts() -> dict[str, tuple[str, str]]:
    """Texts that may take long to read, each with the statuses that may answer it."""
    marks = "\u0301\u0323"
    generator = random.Random(4)
    ideographs = range(0x4E00, 0x9FD6)
    planes = [*range(0x20, 0xD800), *range(0xE000, 0x110000)]
    return {
        "null": ("好\x00吃", "200"),
        "control characters": ("".join(map(chr, range(32))) + "好", "200"),
        "marks of direction": ("\u202e好\u202d吃\u2066" * 1000, "200"),
        "joiners alone": ("\u200d" * 10_000, "422"),
        "joined emoji": ("👨\u200d" * 5000, "200"),
        "skin tones": ("！" + "👍🏻🏿" * 3333, "200"),
        "halves of flags": ("🇨" * 10_000, "200"),
        "marks on one character, at the limit": ("好" + marks * 4999 + "\u0301", "200"),
        "marks on one character, over it": ("好" + marks * 5000, "413"),
        "500,000 marks on one character": ("好" + marks * 250_000, "413"),
        "marks on every character": (("a" + "\u0f73" * 29) * 333, "200"),
        "letters that grow": ("\ufdfa" * 10_000, "200"),
        "characters that become four": ("㌀" * 10_000, "200"),
        "kana of half width": ("ｶﾞ" * 5000, "200"),
        "syllables in parts": ("\u1112\u1161\u11ab" * 3333, "200"),
        "traditional characters": ("後發裡乾麼臺" * 1666, "200"),
        "one word of a rare character": ("龘" * 10_000, "200"),
        "characters at random": ("".join(map(chr, generator.choices(ideographs, k=10_000))), "200"),
        "anything at random": ("".join(map(chr, generator.choices(planes, k=10_000))), "200"),
        "quotes that never close": ("“「" * 5000, "200"),
        "quotes around quotes": ('“‘「『《（【"' * 625 + '】）》』」’”"' * 625, "200"),
        "ends of sentences": ("。！" * 5000, "200"),
        "sentences of one character": ("好." * 5000, "200"),
        "markup that never closes": ("<a a=" * 2000, "200"),
        "attributes": ("<a" + " a=a" * 2499, "200"),
        "attributes with a quote": ("<a" + ' x="' * 2499, "200"),
        "tags of attributes with a quote": (("<a" + ' x="' * 24) * 102, "200"),
        "tags of attributes with three quotes": (("<a" + '  x="="' * 24) * 58, "200"),
        "tags of attributes with either quote": (("<a" + " x=\"'" * 20) * 98, "200"),
        "comments that never close": ("<!--" * 2500, "200"),
        "comments of hyphens": (("<!--" + "-" * 300) * 32, "200"),
        "references": ("&#24456;" * 1250, "200"),
        "references to nothing": ("好" + "&#1114112;" * 999, "200"),
        "references that never end": ("&#" * 5000, "200"),
        "names that never end": (("&" + "a" * 31) * 312, "200"),
        "faces that never close": ("(ω" * 5000, "200"),
        "faces too long": (("(" + "ω" * 17 + ")") * 526, "200"),
        "mentions": ("@" * 10_000, "200"),
        "mentions too long": (("@" + "好" * 31) * 312, "200"),
        "addresses": ("www." * 2500, "200"),
        "schemes of addresses": ("http://" * 1428, "422"),
        "an address of full stops": ("www." + ".-" * 4998, "200"),
        "full stops": ("." * 10_000, "200"),
        "numbers": ("1." * 5000, "200"),
        "brackets": ("[" * 10_000, "200"),
        "emoticons that never close": ("[好" * 5000, "200"),
        "apostrophes": ("a'" * 5000, "200"),
        "white space": ("好" + " " * 9998 + "好", "200"),
        "lines": ("\n" * 9999 + "好", "200"),
    }


HOSTILE_TEXTS = _hostile_texts()


def _texts() -> dict[str, tuple[bytes, str]]:
    return {
        f"{path}: {name}": (post(_json({"text": text}), path=path), f"{statuses} 413 422 429")
        if path != "/v1/predict"
        else (post(_json({"text": text})), f"{statuses} 429")
        for path in ("/v1/predict", "/v1/analyze", "/v1/explain")
        for name, (text, statuses) in HOSTILE_TEXTS.items()
    }


def _streams() -> dict[str, tuple[bytes, str]]:
    bodies = {
        "noise": bytes(range(256)) * 1000,
        "a line of two megabytes": b"a" * 2_000_000,
        "line feeds alone": b"\n" * 500_000,
        "lines of 30,000 arrays": (b"[" * 30_000 + b"\n") * 20,
        "lines of 30,000 digits": (b'{"text": ' + b"9" * 30_000 + b"}\n") * 20,
        "lines of one byte": b"1\n" * 20_000,
        "lines of half a pair": b'{"text": "\\ud800"}\n' * 1000,
    }
    kind = "Content-Type: application/x-ndjson"
    return {
        name: (post(body, kind, path=_STREAM), "200 429 closed") for name, body in bodies.items()
    }


def _waiting() -> dict[str, tuple[bytes, str]]:
    length = f"Content-Length: {len(_TEXT) + 1}"
    return {
        "a head without an end": (b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nX: ", "408"),
        "a head after a request": (
            request(line="GET /livez") + b"GET /livez HTTP/1.1\r\nX: ",
            "200 408",
        ),
        "a length beyond the body": (request(_JSON, length, body=_TEXT), "408"),
        "a chunk of 15 digits": (
            request(_JSON, _CHUNKED, body=b"F" * 15 + b"\r\n" + _TEXT),
            "408",
        ),
        "a trailer without an end": (
            request(_JSON, _CHUNKED, body=b"0\r\nX: "),
            "408",
        ),
        "nothing at all": (b"", CLOSED),
        "the rest of what is refused": (
            request(_JSON, "Content-Length: 1000", line="POST /nothing"),
            "404",
        ),
    }


SHAPES = tuple(
    Shape(group, name, sent, frozenset(statuses.split()), waits=group == "never whole")
    for group, shapes in (
        ("wrong lengths", _lengths()),
        ("broken chunks", _chunks()),
        ("smuggling", _smuggling()),
        ("odd heads", _heads()),
        ("packed bodies", _encodings()),
        ("hostile JSON", _documents()),
        ("hostile texts", _texts()),
        ("hostile streams", _streams()),
        ("never whole", _waiting()),
    )
    for name, (sent, statuses) in shapes.items()
)
