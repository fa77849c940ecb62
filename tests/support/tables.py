"""Tables of many texts, and the command that labels them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner, Result

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
