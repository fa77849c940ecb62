"""Damaged tables, labelled as the command line labels them, and what is wrong with the answers.

    .venv/bin/python -m bench.tables_fuzz [--files 2000] [--seed 0] [--keep DIRECTORY]

Each file has a form, an encoding, a delimiter, a header or none, columns in any order, and then
mostly some damage. It may come out with answers or be refused by a ``DataError``. Two things must
not happen: any other exception, and a text answered that is in no row. What stands in the damaged
bytes of a row is read by the true encoding and layout to know what its text may be. It ends with 1
if either happens, and keeps the files in ``--keep``.
"""

import argparse
import csv
import gzip
import io
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opencc import OpenCC

from model.bulk.labelling import BulkClassifier, label_table
from model.classifier import Classifier
from model.errors import DataError
from model.evaluation.release_check import release_check_sentences
from service.settings import SHIPPED_MODEL

_TRADITIONAL = OpenCC("s2t")
_DELIMITERS = (",", ";", "\t", "|")
_CODECS = (
    *("utf-8", "utf-8", "utf-8-sig", "gb18030", "gb18030", "big5hkscs"),
    *("utf-16-le", "utf-16-be", "utf-16-le-mark", "utf-16-be-mark"),
)
_TEXT_NAMES = ("text", "评论内容", "review_text", "用户评论", "Comment", "留言")
_OTHERS: dict[str, Callable[[random.Random, int], str]] = {
    "id": lambda rng, row: f"{row:03d}",
    "日期": lambda rng, row: f"2024-01-{rng.randint(1, 28):02d}",
    "评分": lambda rng, row: str(rng.randint(1, 5)),
    "label": lambda rng, row: rng.choice(("好评", "差评")),
    "用户": lambda rng, row: rng.choice(("小明", "小红", "李四")),
}
_BAD_BYTES = {"utf-16": b"\x00\xd8", "": b"\xff"}


@dataclass
class Table:
    """A file, and how it is to be read.

    Attributes:
        content: its bytes, not packed.
        suffix: of its name, without ``.gz``.
        packed: whether it is packed by gzip.
        codec: the true encoding.
        delimiter: the true delimiter, or nothing.
        column: the index or the name of the texts.
        only_column: whether it has no column but that of the texts.
        texts: the texts of its rows before it was damaged.
        damage: what was done to it.
    """

    content: bytes
    suffix: str
    packed: bool
    codec: str
    delimiter: str
    column: int | str
    only_column: bool
    texts: set[str]
    damage: str = "none"


class Recording:
    """A classifier that remembers the texts it is given."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.artifact, self.words = classifier.artifact, classifier.words
        self.engine_name = classifier.engine_name
        self.texts: list[str] = []

    def predict(self, texts: Iterable[str], progress: Any = None) -> Iterator[Any]:
        """See ``Classifier.predict``."""
        return self._classifier.predict(self._remembered(texts), progress)

    def _remembered(self, texts: Iterable[str]) -> Iterator[str]:
        for text in texts:
            self.texts.append(text)
            yield text


def make(rng: random.Random, sentences: Sequence[str]) -> Table:
    """Return a table of any form, not damaged."""
    name = rng.choice(_CODECS)
    codec = name.removesuffix("-mark").removesuffix("-sig")
    header = rng.random() < 0.8
    # Without a header, it takes some rows to see how a table is laid out.
    rows = rng.randint(1 if header else 3, 12)
    texts = [_text(rng, sentences, codec) for _ in range(rows)]
    form = rng.choice(("delimited",) * 6 + ("jsonl", "array", "lines"))
    packed = rng.random() < 0.1
    only = False
    column: int | str = 0
    mark = "\ufeff" if name != codec else ""
    if form == "delimited":
        others = rng.sample(list(_OTHERS), rng.randint(0, 4))
        only = not others
        content, suffix, delimiter, column = _delimited(rng, texts, others, header=header)
    elif form == "lines":
        texts = [text.replace("\n", " ").replace("\t", " ") for text in texts]
        content, suffix, delimiter = _joined(rng, texts), ".txt", ""
    else:
        content, suffix, delimiter, column = _json(rng, texts, array=form == "array")
    if codec == "big5hkscs":  # has no simplified names of columns either
        content, texts = _traditional(content), list(map(_traditional, texts))
        column = _traditional(column) if isinstance(column, str) else column
    data = f"{mark}{content}".encode(codec)
    return Table(data, suffix, packed, codec, delimiter, column, only, set(texts))


def _text(rng: random.Random, sentences: Sequence[str], codec: str) -> str:
    text = "，".join(rng.sample(sentences, rng.randint(1, 3)))
    if codec == "big5hkscs" or rng.random() < 0.05:
        text = _traditional(text)
    sign = rng.choice(("", "", "", "", ",", ";", "|", '"', "\n", " ok ", "100%"))
    place = rng.randint(1, len(text) - 1)
    text = text[:place] + sign + text[place:]
    return text.encode(codec, errors="ignore").decode(codec)


def _traditional(text: str) -> str:
    converted: str = _TRADITIONAL.convert(text)
    return converted


def _delimited(
    rng: random.Random, texts: list[str], others: list[str], *, header: bool
) -> tuple[str, str, str, int]:
    delimiter = rng.choice(_DELIMITERS)
    column = rng.randint(0, len(others))
    names = [*others[:column], rng.choice(_TEXT_NAMES), *others[column:]]
    rows = [
        [text if name not in _OTHERS else _OTHERS[name](rng, row) for name in names]
        for row, text in enumerate(texts, start=1)
    ]
    suffix = rng.choice((".csv", ".csv", ".tsv", ".txt" if delimiter == "\t" else ".csv"))
    if not others and suffix == ".txt":
        suffix = ".csv"
    file = io.StringIO(newline="")
    if suffix == ".csv" and rng.random() < 0.1:
        file.write(f"sep={delimiter}\r\n")
    quote_all = rng.random() < 0.3
    end = rng.choice(("\n", "\r\n"))
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    if quote_all:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([*([names] if header else []), *rows])
    content = file.getvalue()
    return content if rng.random() < 0.8 else content.removesuffix(end), suffix, delimiter, column


def _json(rng: random.Random, texts: list[str], *, array: bool) -> tuple[str, str, str, str]:
    name = rng.choice(_TEXT_NAMES)
    nested = rng.random() < 0.2
    objects = [
        {"id": row, **({"data": {name: text}} if nested else {name: text}), "stars": 3}
        for row, text in enumerate(texts)
    ]
    column = f"data.{name}" if nested else name
    if not array:
        lines = [json.dumps(each, ensure_ascii=False) for each in objects]
        return _joined(rng, lines), rng.choice((".jsonl", ".json", ".ndjson")), "", column
    content = json.dumps(objects, ensure_ascii=False, indent=rng.choice((None, 1, 2)))
    return content, rng.choice((".json", ".jsonl")), "", column


def _joined(rng: random.Random, lines: Sequence[str]) -> str:
    end = rng.choice(("\n", "\r\n"))
    return end.join(lines) + rng.choice(("", end))


def damage(table: Table, rng: random.Random) -> None:
    """Do something to the bytes of a table that people's programs, disks and hands do."""
    kind = rng.choice(list(_DAMAGES))
    table.damage = kind
    content = bytearray(table.content)
    if content:
        _DAMAGES[kind](content, table, rng)
    table.content = bytes(content)


def _truncate(content: bytearray, _: Table, rng: random.Random) -> None:
    del content[rng.randrange(len(content) // 4, len(content)) :]


def _cut(content: bytearray, _: Table, rng: random.Random) -> None:
    """Cut some bytes out of a line."""
    start = rng.randrange(len(content))
    end = min(len(content), start + rng.randint(1, 6))
    feed = content.find(b"\n", start, end)
    del content[start : end if feed < 0 else feed]


def _bad_bytes(content: bytearray, table: Table, rng: random.Random) -> None:
    bad = _BAD_BYTES[table.codec[:6] if table.codec.startswith("utf-16") else ""]
    if table.codec == "utf-16-be":
        bad = bad[::-1]
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(0, len(content), 2)
        content[start : start + len(bad)] = bad


def _insert(*signs: str) -> Callable[[bytearray, Table, random.Random], None]:
    """Return the damage of characters inserted where characters begin."""

    def insert(content: bytearray, table: Table, rng: random.Random) -> None:
        text = content.decode(table.codec)
        for _ in range(rng.randint(1, 3)):
            place = rng.randint(0, len(text))
            text = text[:place] + rng.choice(signs) + text[place:]
        content[:] = text.encode(table.codec, errors="ignore")

    return insert


def _lines(content: bytearray, table: Table) -> list[str]:
    return content.decode(table.codec).splitlines(keepends=True)


def _repeat_line(content: bytearray, table: Table, rng: random.Random) -> None:
    lines = _lines(content, table)
    if any("\n" in text for text in table.texts):
        return  # half a row would be repeated
    lines.insert(rng.randint(0, len(lines)), rng.choice(lines))
    content[:] = "".join(lines).encode(table.codec)


def _drop_delimiter(content: bytearray, table: Table, rng: random.Random) -> None:
    text = content.decode(table.codec)
    places = [index for index, sign in enumerate(text) if sign in (table.delimiter or ":,")]
    if places:
        place = rng.choice(places)
        content[:] = (text[:place] + text[place + 1 :]).encode(table.codec)


def _other_encoding(content: bytearray, table: Table, rng: random.Random) -> None:
    """Write a line in UTF-8, or in GB18030 in a file of UTF-8, as if files were joined."""
    if table.codec.startswith("utf-16"):
        return
    other = "gb18030" if table.codec == "utf-8" else "utf-8"
    lines = _lines(content, table)
    codecs = [table.codec] * len(lines)
    codecs[rng.randrange(len(lines))] = other
    content[:] = b"".join(map(str.encode, lines, codecs))


def _zeros(content: bytearray, _: Table, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    content[start : start + 8] = bytes(len(content[start : start + 8]))


_DAMAGES: dict[str, Callable[[bytearray, Table, random.Random], None]] = {
    "nothing": lambda content, table, rng: None,
    "truncated": _truncate,
    "bytes cut out": _cut,
    "bytes of no encoding": _bad_bytes,
    "quotes": _insert('"', '""', "'", '\\"'),
    "delimiters": _insert(*_DELIMITERS),
    "blank lines": _insert("\n", "\n\n", "\r\n", "\r"),
    "signs": _insert("\x00", "\ufeff", "\x1a", "\u3000", "{", "]"),
    "a line twice": _repeat_line,
    "a delimiter dropped": _drop_delimiter,
    "a line in another encoding": _other_encoding,
    "zeros": _zeros,
}


def allowed(table: Table) -> set[str]:
    """Return the texts that rows may have: as they were, or as their damaged lines have them."""
    text = table.content.decode(table.codec, errors="replace").removeprefix("\ufeff")
    found = set(table.texts)
    for piece in (*text.split("\n"), *text.split("\r"), *text.splitlines(), text):
        found |= _texts_in(piece.strip("\r\n"), table)
    return {each for one in found for each in (one, one.strip())}


def _texts_in(line: str, table: Table) -> set[str]:
    """Return the text of a line, or of the whole file, that is read by the true layout."""
    if "\ufffd" in line and "\n" not in line:
        return set()
    if isinstance(table.column, str):
        try:
            values = json.loads(line.strip().strip(","))
        except (ValueError, RecursionError):
            return set()
        return set(_fields(values, table.column.split(".")))
    if not table.delimiter:
        return {line}
    found = set()
    # What divides the rows of one column may also stand in its texts.
    others = ("\x01", *_DELIMITERS) if table.only_column else ()
    for delimiter in (table.delimiter, *others):
        rows = csv.reader(io.StringIO(line, newline=""), delimiter=delimiter)
        with suppress(csv.Error):
            found |= {row[table.column] for row in rows if len(row) > table.column}
    return found


def _fields(values: Any, path: Sequence[str]) -> Iterator[str]:
    if isinstance(values, list):
        for value in values:
            yield from _fields(value, path)
    elif isinstance(values, dict) and path:
        yield from _fields(values.get(path[0]), path[1:])
    elif isinstance(values, str) and not path:
        yield values


def check(table: Table, directory: Path, classifier: Recording) -> tuple[str, str]:
    """Label a table in an empty directory, and return what became of it, and what is wrong."""
    path = directory / f"table{table.suffix}{'.gz' if table.packed else ''}"
    path.write_bytes(gzip.compress(table.content) if table.packed else table.content)
    classifier.texts.clear()
    of_bulk: BulkClassifier = classifier
    try:
        summary = label_table(of_bulk, path)
    except DataError as error:
        left = [each.name for each in directory.iterdir() if each != path]
        return "refused", f"refused, and left {left}: {error}" if left else ""
    except Exception as error:
        return "exception", f"{type(error).__name__}: {error}"
    right = allowed(table)
    if wrong := [text for text in classifier.texts if text not in right]:
        return "wrong", f"{summary.understood}; answered {wrong[0]!r}"
    return ("answered in part" if summary.failed else "answered"), ""


def fuzz(
    files: int, seed: int, classifier: Classifier, keep: Path | None = None
) -> tuple[Counter[str], list[str]]:
    """Label so many damaged tables; return how many came out in which way, and what is wrong."""
    outcomes: Counter[str] = Counter()
    problems = []
    recording = Recording(classifier)
    sentences = [each.text for each in release_check_sentences() if len(each.text) > 4]
    for number in range(files):
        rng = random.Random(f"{seed}-{number}")
        table = make(rng, sentences)
        damage(table, rng)
        with tempfile.TemporaryDirectory() as directory:
            outcome, problem = check(table, Path(directory), recording)
        outcomes[outcome] += 1
        outcomes[f"{table.damage}: {outcome}"] += 1
        if problem:
            problems.append(f"file {number} ({table.codec}, {table.damage}): {problem}")
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{number}{table.suffix}").write_bytes(table.content)
    return outcomes, problems


def main() -> None:
    """Fuzz, and print the outcomes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    outcomes, problems = fuzz(given.files, given.seed, Classifier.load(SHIPPED_MODEL), given.keep)
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:6}  {outcome}")
    for problem in problems:
        print(problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
