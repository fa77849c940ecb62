"""Tables of many texts, and the command that labels them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner, Result

from model.bulk.table import ADDED_COLUMNS
from service.commands import main


def run(*arguments: object, content: bytes | None = None) -> Result:
    """Run ``sentiment predict``."""
    return CliRunner().invoke(main, ["predict", *map(str, arguments)], input=content)


ROWS = 9000


def csv_rows(path: Path, texts: Sequence[str]) -> None:
    content = "n,text\n" + "".join(f"{n},{text}\n" for n, text in enumerate(texts))
    path.write_text(content, encoding="utf-8")


def json_rows(path: Path, texts: Sequence[str]) -> None:
    lines = [json.dumps({"n": n, "text": text}) for n, text in enumerate(texts)]
    path.write_text("\n".join(lines), encoding="utf-8")


def parquet_rows(path: Path, texts: Sequence[str]) -> None:
    pq.write_table(pa.table({"n": list(range(len(texts))), "text": list(texts)}), path)


KINDS: dict[str, Callable[[Path, Sequence[str]], None]] = {
    "csv": csv_rows,
    "jsonl": json_rows,
    "parquet": parquet_rows,
}


def many_texts() -> list[str]:
    """Return texts that contain their number; one of every hundred is blank."""
    return [" " if number % 100 == 7 else f"房间很好，早餐很差，{number}" for number in range(ROWS)]


def added(line: str, delimiter: str = ",") -> tuple[str, list[str]]:
    """Split a line of an output into the row as it was and the columns that were added."""
    kept = line.rsplit(delimiter, len(ADDED_COLUMNS))
    return kept[0], kept[1:]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def bad_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def options(table: Path, artifact: Path, *more: str) -> tuple[object, ...]:
    return table, "--model", artifact, *more
