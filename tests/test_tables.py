"""Tables: rows kept letter for letter, bad ones set aside, and no row lost by an interruption."""

import csv
import fcntl
import io
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.bulk.delimited import DelimitedTable
from model.bulk.json_lines import extended_json
from model.bulk.labelling import label_table
from model.bulk.table import ADDED_COLUMNS, OutputColumns
from model.classifier import CHUNK_TEXTS, Classifier
from model.errors import DataError
from model.text.custom_words import CustomWords
from tests.support.tables import KINDS, ROWS, csv_rows, many_texts, parquet_rows, run

CSV = (
    '\ufeffid,text,"more, quoted"\r\n'
    "007,房间很好,\r\n"
    '"008","早餐""很差""\r\n真的",""\n'
    "\r\n"
    " 9 ,电影在三楼,NULL"
)


def added(line: str, delimiter: str = ",") -> tuple[str, list[str]]:
    """What stood there and what was added."""
    kept = line.rsplit(delimiter, len(ADDED_COLUMNS))
    return kept[0], kept[1:]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def bad_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_rows_of_a_csv_file_stay_letter_for_letter(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    table = write(tmp_path / "reviews.csv", CSV)
    summary = label_table(tiny_classifier, table)
    content = (tmp_path / "reviews.labelled.csv").read_bytes().decode()
    # Before what was added, and before the line ends behind it, nothing differs.
    assert content.startswith('\ufeffid,text,"more, quoted",label,confidence,')
    read = list(csv.DictReader(io.StringIO(content.removeprefix("\ufeff"), newline="")))
    assert [row["id"] for row in read] == ["007", "008", " 9 "]
    assert [row["text"] for row in read] == ["房间很好", '早餐"很差"\r\n真的', "电影在三楼"]
    assert [row["more, quoted"] for row in read] == ["", "", "NULL"]
    predictions = list(tiny_classifier.predict(row["text"] for row in read))
    assert [row["label"] for row in read] == [p.label for p in predictions]
    for row in read:
        shares = [float(row[label]) for label in ("positive", "neutral", "negative")]
        assert float(row["confidence"]) == max(shares)
        assert sum(shares) == pytest.approx(1, abs=1e-5)
    kept = ("007,房间很好,", '"008","早餐""很差""\r\n真的",""', " 9 ,电影在三楼,NULL")
    for piece, prediction in zip(kept, predictions, strict=True):
        assert f"{piece},{prediction.label}," in content
    assert sum(summary.labels.values()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "reviews.csv",
        "reviews.labelled.csv",
    ]


def test_tsv_has_tabs_and_the_only_column_needs_no_name(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    table = write(tmp_path / "a.tsv", "text\tn\n房间很好, 真的\t1\n")
    label_table(tiny_classifier, table)
    lines = (tmp_path / "a.labelled.tsv").read_text(encoding="utf-8").splitlines()
    assert added(lines[1], "\t")[0] == "房间很好, 真的\t1"
    assert added(lines[1], "\t")[1][0] == "positive"
    label_table(tiny_classifier, write(tmp_path / "b.csv", "评论\n早餐很差\n"))
    assert "早餐很差,negative," in (tmp_path / "b.labelled.csv").read_text(encoding="utf-8")


def test_bad_rows_of_a_csv_file_go_to_the_side_with_their_reason(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    rows = [
        b"text,n",
        "房间很好,1".encode(),
        b"&nbsp;<br>,2",
        "好,3,4".encode(),
        "好".encode(),
        "好".encode("gbk") + b",5",
        '"好"好,6'.encode(),
        '"没有完,7'.encode(),
        "早餐很差,8".encode(),
    ]
    table = write(tmp_path / "a.csv", b"\n".join(rows) + b"\n")
    summary = label_table(tiny_classifier, table)
    assert summary.failed == 6
    bad = bad_rows(tmp_path / "a.errors.jsonl")
    assert [row["row"] for row in bad] == [2, 3, 4, 5, 6, 7]
    reasons = ["blank", "3 fields", "1 fields", "not UTF-8", "expected after", "unexpected end"]
    for row, reason in zip(bad, reasons, strict=True):
        assert reason in row["reason"]
    assert bad[5]["content"] == '"没有完,7'
    lines = (tmp_path / "a.labelled.csv").read_text(encoding="utf-8").splitlines()
    assert [added(line)[0] for line in lines] == ["text,n", "房间很好,1", "早餐很差,8"]


def test_a_json_line_stays_as_it_is_and_bad_ones_go_to_the_side(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    good = ['{"id": 007e1, "text":"房间很好"}', '{ "n" : 1.00, "text": "\\u65e9餐很差" , "m":[] }']
    good[0] = good[0].replace("007e1", "1E5")
    bad = ["{", "5", '{"text": 5}', '{"n": 1}', '{"text": "<br>"}', '{"text": "\\ud800"}']
    bad.append('{"text": "好", "label": "x"}')
    table = write(tmp_path / "a.jsonl", "\n".join([good[0], *bad, "", good[1]]))
    summary = label_table(tiny_classifier, table)
    lines = (tmp_path / "a.labelled.jsonl").read_text(encoding="utf-8").splitlines()
    assert [line.split(', "label": ')[0] for line in lines] == [
        good[0][:-1],
        good[1][:-1].rstrip(),
    ]
    assert [list(json.loads(line))[-5:] for line in lines] == [list(ADDED_COLUMNS)] * 2
    assert [json.loads(line)["label"] for line in lines] == ["positive", "negative"]
    assert summary.failed == len(bad)
    rows = bad_rows(tmp_path / "a.errors.jsonl")
    assert [row["content"] for row in rows] == bad
    assert [row["row"] for row in rows] == list(range(2, 9))


def test_the_first_json_line_says_nothing_of_the_others(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    content = '\ufeff{"id": "u1"}\n{"id": "u2", "text": "早餐很差"}\n'
    summary = label_table(tiny_classifier, write(tmp_path / "a.jsonl", content))
    assert summary.failed == 1
    assert bad_rows(tmp_path / "a.errors.jsonl")[0]["reason"] == "it has no field text"
    output = (tmp_path / "a.labelled.jsonl").read_text(encoding="utf-8")
    assert output.startswith('\ufeff{"id": "u2", "text": "早餐很差", "label": "negative"')


def test_a_pipe_is_of_json_lines_behind_a_mark_and_blank_lines(tiny_artifact: Path) -> None:
    content = '\ufeff\n{"id": 1, "text": "早餐很差"}\n'.encode()
    result = run("--model", tiny_artifact, content=content)
    assert json.loads(result.stdout.splitlines()[-1])["label"] == "negative"
    assert '"id": 1' in result.stdout


def test_two_runs_do_not_write_one_file(tiny_classifier: Classifier, tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "text\n好\n")
    with (tmp_path / "a.labelled.csv.partial").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another run is writing"):
            label_table(tiny_classifier, table, resume=True)


def test_an_output_that_cannot_be_written_is_one_sentence(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    table = write(tmp_path / "a.csv", "text\n好\n")
    result = run("--model", tiny_artifact, table, "--output", tmp_path / "none" / "x.csv")
    assert result.exit_code == 2
    assert "none/x.csv.partial: No such file or directory" in result.output
    assert "Traceback" not in result.output


def test_a_line_end_of_json_lines_is_kept() -> None:
    answer = OutputColumns("neutral", 0.5, 0.2, 0.5, 0.3)
    assert extended_json(b'{"a":1 } \r\n', answer) == (
        b'{"a":1, "label": "neutral", "confidence": 0.5, "positive": 0.2, "neutral": 0.5, '
        b'"negative": 0.3} \r\n'
    )


def test_parquet_keeps_its_columns_and_their_types(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    texts = pa.array(["房间很好", None, " ", "早餐很差"])
    given = pa.table(
        {
            "id": pa.array([7, 8, 9, None], pa.int8()),
            "text": texts.dictionary_encode(),
            "more": pa.array([[b"\x00"], [], None, [b"y"]]),
        }
    ).replace_schema_metadata({"whose": "ours"})
    pq.write_table(given, tmp_path / "a.parquet")
    summary = label_table(tiny_classifier, tmp_path / "a.parquet")
    result = pq.read_table(tmp_path / "a.labelled.parquet")
    assert result.column_names == [*given.column_names, *ADDED_COLUMNS]
    kept = given.take([0, 3])
    assert result.select(given.column_names).to_pylist() == kept.to_pylist()
    assert result.schema.field("id").type == pa.int8()
    assert result.schema.metadata[b"whose"] == b"ours"
    assert result.column("label").to_pylist() == ["positive", "negative"]
    assert [row["row"] for row in bad_rows(tmp_path / "a.errors.jsonl")] == [2, 3]
    assert summary.failed == 2


def strings(*values: bytes | None) -> pa.Array:
    """Of any bytes: Arrow does not check them."""
    return pa.array(values, pa.binary()).view(pa.string())


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_a_parquet_text_that_is_not_utf8_is_one_bad_row(
    tiny_classifier: Classifier, tmp_path: Path, kind: str
) -> None:
    texts = strings("房间很好".encode(), b"\xff\xfe", b"<br>", "早餐很差".encode())
    column = {
        "string": texts,
        "large_string": texts.cast(pa.large_string()),
        "dictionary": texts.dictionary_encode(),
    }[kind]
    pq.write_table(pa.table({"n": [1, 2, 3, 4], "text": column}), tmp_path / "a.parquet")
    label_table(tiny_classifier, tmp_path / "a.parquet")
    result = pq.read_table(tmp_path / "a.labelled.parquet")
    assert result.column("n").to_pylist() == [1, 4]
    assert result.column("text").to_pylist() == ["房间很好", "早餐很差"]
    bad = bad_rows(tmp_path / "a.errors.jsonl")
    assert [(row["row"], row["reason"]) for row in bad] == [
        (2, "the bytes are not UTF-8"),
        (3, "the text is empty or blank"),
    ]
    assert bad[0]["content"] == {"n": 2, "text": "\\xff\\xfe"}


def test_a_bad_parquet_row_is_told_whatever_else_it_holds(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    odd = strings(b"\xff", b"ok")
    given = pa.table(
        {
            "text": [None, "房间很好"],
            "nanoseconds": pa.array([1, 2], pa.timestamp("ns")),
            "year 33658": pa.array([10**15, 0], pa.timestamp("ms")),
            "inside": pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), odd),
        }
    )
    pq.write_table(given, tmp_path / "a.parquet")
    assert label_table(tiny_classifier, tmp_path / "a.parquet").failed == 1
    content = bad_rows(tmp_path / "a.errors.jsonl")[0]["content"]
    assert content["nanoseconds"] == "1970-01-01 00:00:00.000000001"
    assert content.keys() == set(given.column_names)
    result = pq.read_table(tmp_path / "a.labelled.parquet").select(given.column_names)
    assert result.equals(given.slice(1))


@pytest.mark.parametrize("damage", ["truncated", "page", "cut out"])
def test_a_damaged_parquet_file_is_told_in_one_sentence(
    tiny_artifact: Path, tmp_path: Path, damage: str
) -> None:
    table = tmp_path / "a.parquet"
    parquet_rows(table, many_texts())
    content = bytearray(table.read_bytes())
    middle = len(content) // 2
    if damage == "truncated":
        del content[middle:]
    elif damage == "page":
        content[middle : middle + 64] = b"\xff" * 64
    else:
        del content[middle : middle + 1000]
    table.write_bytes(content)
    result = run(table, "--model", tiny_artifact)
    assert result.exit_code == 2
    assert f"sentiment: {table} cannot be read as Parquet: " in result.output
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "a.labelled.parquet").exists()


def test_a_parquet_file_that_cannot_be_read_for_a_while_is_gone_on_with(
    tiny_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "a.parquet"
    parquet_rows(table, many_texts())
    label_table(tiny_classifier, table, tmp_path / "whole.parquet")
    batches = pq.ParquetFile.iter_batches
    readings = iter(range(2))

    def fail(of: Any, **options: Any) -> Iterator[Any]:
        """What a disk does that fails while the texts are read for the second time."""
        rows = 2 * CHUNK_TEXTS if next(readings) else ROWS
        for batch in batches(of, **{**options, "batch_size": CHUNK_TEXTS}):
            if rows <= 0:
                raise OSError("Unexpected end of stream")  # Arrow's have no errno
            rows -= batch.num_rows
            yield batch

    with monkeypatch.context() as patched:
        patched.setattr(pq.ParquetFile, "iter_batches", fail)
        with pytest.raises(DataError, match="as Parquet: Unexpected end of stream"):
            label_table(tiny_classifier, table)
    label_table(tiny_classifier, table, resume=True)
    whole = (tmp_path / "whole.parquet").read_bytes()
    assert (tmp_path / "a.labelled.parquet").read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("a.csv", "text,label\n好,1\n", None, "has a column label already"),
        ("a.jsonl", '{"text": "好", "neutral": 1}\n', None, "has a column neutral already"),
        ("a.csv", "a,b\n好,1\n", None, "has no column text; --column names one of a, b"),
        ("a.csv", "a,b\n好,1\n", "c", "has no column c"),
        ("a.csv", "text,text\n好,1\n", None, "has more than one column text"),
        ("a.csv", "", None, "it is empty"),
        ("a.csv", b"\xff\xfe\n", None, "not UTF-8"),
        ("a.jsonl", "[]\n", None, "has no line that is a JSON object"),
        ("a.parquet", "no", None, "cannot be read as Parquet"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_one_sentence(
    tiny_artifact: Path,
    tmp_path: Path,
    name: str,
    content: str | bytes,
    column: str | None,
    message: str,
) -> None:
    table = write(tmp_path / name, content)
    result = run(table, "--model", tiny_artifact, *(["--column", column] if column else []))
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [table]


def test_a_column_of_numbers_is_refused(tiny_classifier: Classifier, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="holds int64, not strings"):
        label_table(tiny_classifier, tmp_path / "a.parquet")


def test_without_pyarrow_parquet_says_what_to_install_and_csv_works(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"text": ["好"]}), tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run(tmp_path / "a.parquet", "--model", tiny_artifact)
    assert result.exit_code == 2
    assert "the package pyarrow is missing" in result.output
    assert "pip install 'zh-sentiment[tables]'" in result.output
    table = write(tmp_path / "a.csv", "text\n房间很好\n")
    assert run(table, "--model", tiny_artifact).exit_code == 0


def test_what_is_there_is_not_replaced_unasked(tiny_artifact: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "text\n房间很好\n")
    output = tmp_path / "b.csv"
    options = ("--model", tiny_artifact, "--output", output)
    assert run(table, *options).exit_code == 0
    first = output.read_bytes()
    for again in ((), ("--resume",)):
        result = run(table, *options, *again)
        assert (result.exit_code, "exists already" in result.output) == (2, True)
    table.write_text("text\n早餐很差\n", encoding="utf-8")
    assert run(table, *options, "--force").exit_code == 0
    assert output.read_bytes() != first
    refused = run(table, "--model", tiny_artifact, "--output", table, "--force")
    assert "is the table itself" in refused.output
    other = run(table, "--model", tiny_artifact, "--output", tmp_path / "b.tsv")
    assert "another format than" in other.output
    assert "name it *.csv" in other.output
    unknown = run(table, "--model", tiny_artifact, "--output", tmp_path / "b.txt")
    assert "b.txt is not a table" in unknown.output
    assert "for a table" in run("好", "--model", tiny_artifact, "--force").output
    assert "give one table and nothing else" in run(table, tmp_path / "b.tsv").output


def options(table: Path, artifact: Path, *more: str) -> tuple[object, ...]:
    return table, "--model", artifact, *more


MADE = ["a.labelled.csv", "a.errors.jsonl", "a.labelled.csv.partial", "a.labelled.csv.unfinished"]
NOT_OURS: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda path, target: path.symlink_to(target),
    "dangling link": lambda path, target: path.symlink_to(target.with_name("none")),
    "empty file": lambda path, _: path.touch(),
    "text": lambda path, _: path.write_text("mine\n"),
    "json": lambda path, _: path.write_text('{"row": 1}\n'),
    "bytes": lambda path, _: path.write_bytes(b"\xff" * 2_000_000),
    "pipe": lambda path, _: os.mkfifo(path),
    "folder": lambda path, _: path.mkdir(),
}


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    """What stands in a folder."""
    return {
        path.name: (
            path.lstat().st_ino,
            path.lstat().st_size,
            path.is_symlink() and path.readlink(),
            path.read_bytes() if path.is_file() else None,
        )
        for path in folder.iterdir()
    }


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("kind", NOT_OURS)
def test_nothing_is_written_in_the_place_of_what_no_run_has_made(
    tiny_artifact: Path, tmp_path: Path, name: str, kind: str
) -> None:
    table = write(tmp_path / "a.csv", 'text\n房间很好\n" "\n')
    victim = write(tmp_path / "victim", "mine")
    NOT_OURS[kind](tmp_path / name, victim)
    before = state(tmp_path)
    may_be_replaced = not name.endswith((".partial", ".unfinished"))
    flags = [[], ["--resume"], *([] if may_be_replaced else [["--force"]])]
    if kind == "empty file" and name.endswith(".partial"):
        flags = [[]]  # so much a run leaves that ends before its first write
    for flag in flags:
        result = run(*options(table, tiny_artifact, *flag))
        assert result.exit_code == 2, result.output
        assert len(result.output.splitlines()) == 1
        assert str(tmp_path / name) in result.output
        assert state(tmp_path) == before
    if may_be_replaced:
        result = run(*options(table, tiny_artifact, "--force"))
        assert result.exit_code == (2 if kind == "folder" else 0), result.output
        assert (tmp_path / name).is_symlink() is False
        assert victim.read_text() == "mine"
        assert not (tmp_path / "none").exists()


def test_what_comes_between_an_interruption_and_its_end_stays(
    tiny_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "a.csv"
    csv_rows(table, many_texts())
    interrupted(tiny_classifier, table, monkeypatch, 2)
    for name in ("a.labelled.csv", "a.errors.jsonl"):
        (tmp_path / name).unlink(missing_ok=True)
        write(tmp_path / name, "mine\n")
        before = state(tmp_path)
        with pytest.raises(DataError, match=f"{name} exists already"):
            label_table(tiny_classifier, table, resume=True)
        assert state(tmp_path) == before
        (tmp_path / name).unlink()
    write(tmp_path / "victim", "mine")
    (tmp_path / "a.labelled.csv.unfinished").unlink()
    (tmp_path / "a.labelled.csv.unfinished").symlink_to(tmp_path / "victim")
    label_table(tiny_classifier, table, resume=True)
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "a.labelled.csv").is_symlink()


def test_a_run_that_replaces_goes_on_to_replace(
    tiny_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "a.csv"
    csv_rows(table, many_texts())
    output = write(tmp_path / "a.labelled.csv", "of yesterday")
    interrupted(tiny_classifier, table, monkeypatch, 2, force=True)
    assert output.read_text() == "of yesterday"
    label_table(tiny_classifier, table, resume=True)
    assert output.read_text(encoding="utf-8").startswith("n,text,label")


def test_an_output_that_appears_meanwhile_is_kept(
    tiny_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write(tmp_path / "a.csv", "text\n房间很好\n")
    predict = Classifier.predict

    def and_write(*arguments: Any) -> Iterator[Any]:
        yield from predict(*arguments)
        write(tmp_path / "a.labelled.csv", "mine")

    monkeypatch.setattr(Classifier, "predict", and_write)
    with pytest.raises(DataError, match="exists already"):
        label_table(tiny_classifier, table)
    assert (tmp_path / "a.labelled.csv").read_text() == "mine"


@pytest.mark.parametrize("content", ["{", "[]", "1", "null", '{"file": [1, 2]}', "[" * 100_000])
def test_answers_that_no_run_has_written_are_told_in_a_sentence(
    tiny_artifact: Path, tmp_path: Path, content: str
) -> None:
    table = write(tmp_path / "a.csv", "text\n房间很好\n")
    write(tmp_path / "a.labelled.csv.partial", f"{content}\n")
    for flag in ("--resume", "--force"):
        result = run(*options(table, tiny_artifact, flag))
        assert result.exit_code == 2
        assert "holds no answers of an earlier run; move it away" in result.output
        assert len(result.output.splitlines()) == 1


def test_nothing_that_a_file_or_its_name_holds_steers_a_terminal(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    steering = "\x1b]0;owned\x07\x9b31m"
    name = f"a{steering}.csv"
    header = write(tmp_path / name, f'"{steering}",b\n1,2\n')
    broken = write(tmp_path / f"b{steering}.csv", f'"{steering}')
    lines = write(tmp_path / f"c{steering}.jsonl", "1\n")
    parquet = tmp_path / f"d{steering}.parquet"
    pq.write_table(pa.table({steering: [{steering: 1}]}), parquet)
    good = write(tmp_path / f"e{steering}.csv", "text\n房间很好\n")
    outputs = [
        run(*options(path, tiny_artifact)) for path in (header, broken, lines, parquet, good)
    ]
    outputs.append(run(*options(parquet, tiny_artifact, "--column", steering)))
    outputs.append(run(*options(good, tiny_artifact, "--column", steering)))
    outputs.append(run(*options(good, tiny_artifact, "--user-words", steering)))
    outputs.append(run(f"{steering}.csv", "a"))
    outputs.append(run("--model", tiny_artifact, content=f"好{steering}".encode()))
    outputs.append(run("--model", tiny_artifact, f"好{steering}"))
    for result in outputs:
        assert "owned" in result.output
        assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", result.output), result.output
        assert "Traceback" not in result.output
    assert json.loads(outputs[-1].output)["input"] == f"好{steering}"


def test_a_header_of_any_length_makes_a_short_sentence(tiny_artifact: Path, tmp_path: Path) -> None:
    names = ",".join(f"column{number}" for number in range(100_000))
    result = run(*options(write(tmp_path / "a.csv", f"{names}\n"), tiny_artifact))
    assert result.exit_code == 2
    assert "--column names one of column0, column1" in result.output
    assert len(result.output) < 1000


@pytest.mark.process
def test_a_process_of_its_own_reads_cells_of_any_sensible_length(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    # Of its own: any import of this one may have set the limit, which is one for a process.
    note, text = "注" * 1_000_000, "房间很好。" * 40_000
    table = write(tmp_path / "a.csv", f'text,note\n房间很好,"{note}"\n{text},\n早餐很差,x\n')
    command = [sys.executable, "-m", "service", "predict", "--model", str(tiny_artifact)]
    subprocess.run([*command, str(table)], check=True, capture_output=True)
    lines = (tmp_path / "a.labelled.csv").read_text(encoding="utf-8").splitlines()
    assert added(lines[1])[0] == f'房间很好,"{note}"'
    assert added(lines[2])[0] == f"{text},"
    assert added(lines[3])[0] == "早餐很差,x"
    assert not (tmp_path / "a.errors.jsonl").exists()


def test_the_summary_shows_labels_as_bars(tiny_artifact: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "text\n" + "房间很好\n" * 3 + "早餐很差\n" + '" "\n')
    result = run(table, "--model", tiny_artifact)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["positive", "3", "75.0%", "█" * 30]
    assert lines[1].split() == ["neutral", "0", "0.0%"]
    assert lines[2].split() == ["negative", "1", "25.0%", "█" * 10]
    assert lines[3].split()[:2] == ["answered", "4"]
    assert lines[4].split()[:2] == ["failed", "1"]


@pytest.mark.process
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_goes_on_without_a_row_lost_or_doubled(
    tiny_classifier: Classifier, tiny_artifact: Path, tmp_path: Path, kind: str
) -> None:
    table = tmp_path / f"a.{kind}"
    KINDS[kind](table, many_texts())
    whole, output = tmp_path / f"whole.{kind}", tmp_path / f"b.{kind}"
    label_table(tiny_classifier, table, whole)
    partial = tmp_path / f"b.{kind}.partial"
    command = [sys.executable, "-m", "service", "predict", str(table), "--resume"]
    command += ["--model", str(tiny_artifact), "--output", str(output)]
    # At least once there is something to resume; the other moments are anywhere in a run.
    for first in (True, False):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while first and process.poll() is None:
            if partial.exists() and partial.stat().st_size > 24 * 2048:
                break
            time.sleep(0.002)
        if not first:
            time.sleep(random.uniform(0, 3))
        process.kill()
        process.wait()
    if not output.exists():
        with partial.open("ab") as file:
            file.write(b"torn")
        assert run(table, "--resume", "--model", tiny_artifact, "--output", output).exit_code == 0
    assert output.read_bytes() == whole.read_bytes()
    names = ("b.errors.jsonl", "whole.errors.jsonl")
    assert len({(tmp_path / name).read_bytes() for name in names}) == 1
    assert not partial.exists()


def interrupted(
    classifier: Classifier,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    *,
    force: bool = False,
) -> None:
    """A run that ends at one of its writes."""
    writes = iter(range(at))
    fsync = os.fsync

    def end(descriptor: int) -> None:
        if next(writes, None) is None:
            raise KeyboardInterrupt
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", end)
        with pytest.raises(KeyboardInterrupt):
            label_table(classifier, table, resume=not force, force=force)


def test_wherever_a_run_ends_it_can_go_on(
    tiny_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "a.csv"
    csv_rows(table, many_texts())
    label_table(tiny_classifier, table, tmp_path / "whole.csv")
    for at in (0, 1, 1, 0, 0):
        interrupted(tiny_classifier, table, monkeypatch, at)
    # By now every answer is there.
    with (tmp_path / "a.labelled.csv.partial").open("ab") as file:
        file.write(b"torn")
    with pytest.raises(DataError, match="--resume continues it"):
        label_table(tiny_classifier, table)
    label_table(tiny_classifier, table, resume=True)
    whole = (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "a.labelled.csv").read_bytes() == whole


@pytest.mark.parametrize("changed", ["file", "column"])
def test_another_run_is_not_resumed(
    tiny_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    table = tmp_path / "a.csv"
    csv_rows(table, many_texts())
    interrupted(tiny_classifier, table, monkeypatch, 2)
    if changed == "file":
        csv_rows(table, many_texts()[1:])
    column = "n" if changed == "column" else None
    with pytest.raises(DataError, match=f"a run with another {changed}; --force"):
        label_table(tiny_classifier, table, column=column, resume=True)
    label_table(tiny_classifier, table, force=True)


def test_a_run_with_other_words_is_not_resumed(
    tiny_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "a.csv"
    csv_rows(table, many_texts())
    interrupted(tiny_classifier, table, monkeypatch, 2)
    artifact, engine = tiny_classifier.artifact, tiny_classifier.engine
    other = Classifier(artifact, engine, words=CustomWords(stopwords=("房间",)))
    with pytest.raises(DataError, match="a run with another words; --force"):
        label_table(other, table, resume=True)
    # Words that no token is change nothing about answers, and are nevertheless other words.
    none = Classifier(artifact, engine, words=CustomWords(stopwords=("in fact",)))
    with pytest.raises(DataError, match="a run with another words; --force"):
        label_table(none, table, resume=True)


def test_words_of_ones_own_count_in_tables_and_pipes(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = write(tmp_path / "words.txt", "房间\nin fact\n")
    table = write(tmp_path / "a.csv", "text\n房间很好\n")

    def answers() -> list[Any]:
        assert run(table, "--model", tiny_artifact, "--force").exit_code == 0
        labelled = (tmp_path / "a.labelled.csv").read_text(encoding="utf-8")
        piped = run("--model", tiny_artifact, content="房间很好\n".encode())
        told = json.loads(piped.stdout.splitlines()[-1])
        return [labelled, told["probabilities"], told["text"]["tokens"]]

    without = answers()
    monkeypatch.setenv("SENTIMENT_EXTRA_STOPWORDS", str(words))
    with_words = answers()
    assert all(one != other for one, other in zip(without, with_words, strict=True))
    monkeypatch.setenv("SENTIMENT_KEPT_WORDS", str(words))
    assert answers() == without
    monkeypatch.setenv("SENTIMENT_USER_WORDS", str(tmp_path / "none"))
    missing = run(table, "--model", tiny_artifact)
    assert missing.exit_code == 2
    assert "--user-words" in missing.output


def test_a_file_that_changes_meanwhile_is_not_joined(
    tiny_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write(tmp_path / "a.csv", "text\n房间很好\n")
    predict = Classifier.predict

    def and_change(*arguments: Any) -> Iterator[Any]:
        write(table, "text\n房间很好\n早餐很差\n")
        yield from predict(*arguments)

    monkeypatch.setattr(Classifier, "predict", and_change)
    with pytest.raises(DataError, match="changed during the run; start over with --force"):
        label_table(tiny_classifier, table)
    assert not (tmp_path / "a.labelled.csv").exists()


def test_json_lines_go_through_a_pipe_with_their_fields(tiny_artifact: Path) -> None:
    lines = ['{"id": 1, "text": "房间很好"}', "{", "", '{"id": 2, "text": "早餐很差"}']
    result = run("-", "--model", tiny_artifact, content="\n".join(lines).encode())
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer.get("id") for answer in answers] == [1, None, 2]
    assert [answer.get("label") for answer in answers] == ["positive", None, "negative"]
    assert answers[1]["error"]["detail"] == "the line is not JSON"
    assert list(answers[0]) == ["id", "text", *ADDED_COLUMNS]


@pytest.mark.process
def test_a_line_is_answered_before_the_next_is_typed(tiny_artifact: Path) -> None:
    command = [sys.executable, "-m", "service", "predict", "--model", str(tiny_artifact)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for text, label in (("房间很好", "positive"), ("早餐很差", "negative")):
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert (answer["input"], answer["label"]) == (text, label)
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_table_is_read_piece_by_piece(
    tiny_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "a.csv"
    csv_rows(table, many_texts())
    ahead = most = 0
    records = DelimitedTable.rows

    def counted(of: Any) -> Iterator[Any]:
        nonlocal ahead
        for row in records(of):
            ahead += 1
            yield row

    predict = Classifier.predict

    def answered(of: Classifier, *arguments: Any) -> Iterator[Any]:
        nonlocal ahead, most
        ahead = 0  # of the survey
        for prediction in predict(of, *arguments):
            most = max(most, ahead)
            ahead -= 1
            yield prediction

    monkeypatch.setattr(DelimitedTable, "rows", counted)
    monkeypatch.setattr(Classifier, "predict", answered)
    label_table(tiny_classifier, table)
    assert 0 < most < 5000
