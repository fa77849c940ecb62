"""Tables: rows kept letter for letter, and bad ones set aside with the reason."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.bulk.delimited import DelimitedTable
from model.bulk.json_rows import extended_json
from model.bulk.labelling import label_table
from model.bulk.table import ADDED_COLUMNS, OutputColumns
from model.classifier import Classifier
from tests.support.tables import (
    added,
    bad_rows,
    csv_rows,
    many_texts,
    options,
    run,
    write,
)

CSV = (
    '\ufeffid,text,"more, quoted"\r\n'
    "007,房间很好,\r\n"
    '"008","早餐""很差""\r\n真的",""\n'
    "\r\n"
    " 9 ,电影在三楼,NULL"
)


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
    reasons = ["blank", "3 fields", "1 fields", "not UTF-8", "not doubled", "a quote is not closed"]
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
    table = write(tmp_path / "a.jsonl", "\n".join([good[0], *bad, "", good[1]]))
    summary = label_table(tiny_classifier, table)
    lines = (tmp_path / "a.labelled.jsonl").read_text(encoding="utf-8").splitlines()
    assert [line.split(', "label": ')[0] for line in lines] == [
        good[0][:-1],
        good[1][:-1].rstrip(),
    ]
    assert [list(json.loads(line))[-6:] for line in lines] == [list(ADDED_COLUMNS)] * 2
    assert [json.loads(line)["label"] for line in lines] == ["positive", "negative"]
    assert summary.failed == len(bad)
    rows = bad_rows(tmp_path / "a.errors.jsonl")
    assert [row["content"] for row in rows] == bad
    assert [row["row"] for row in rows] == list(range(2, 8))


def test_the_first_json_line_says_nothing_of_the_others(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    content = '\ufeff{"id": "u1"}\n{"id": "u2", "text": "早餐很差"}\n'
    summary = label_table(tiny_classifier, write(tmp_path / "a.jsonl", content))
    assert summary.failed == 1
    assert bad_rows(tmp_path / "a.errors.jsonl")[0]["reason"] == "its text is missing"
    output = (tmp_path / "a.labelled.jsonl").read_text(encoding="utf-8")
    assert output.startswith('\ufeff{"id": "u2", "text": "早餐很差", "label": "negative"')


def test_a_line_end_of_json_lines_is_kept() -> None:
    answer = OutputColumns("neutral", 0.5, True, 0.2, 0.5, 0.3)
    assert extended_json(b'{"a":1 } \r\n', answer) == (
        b'{"a":1, "label": "neutral", "confidence": 0.5, "uncertain": true, '
        b'"positive": 0.2, "neutral": 0.5, "negative": 0.3} \r\n'
    )


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("a.csv", "a,b\n好,1\n", None, "which column holds the texts; --column names one of a, b"),
        ("a.csv", "a,b\n好,1\n", "c", "there is no column c"),
        ("a.csv", "text,text\n好,1\n", None, "there is more than one column text"),
        ("a.csv", "", None, "it is empty"),
        ("a.csv", b"\xff\xfd\n", None, "name it by --encoding"),
        ("a.jsonl", "[]\n", None, "it is empty"),
        ("a.jsonl", "1\n", None, "has no row that is a JSON object"),
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
    assert lines[3].split()[0] == "uncertain"
    assert lines[4].split()[:2] == ["answered", "4"]
    assert lines[5].split()[:2] == ["failed", "1"]


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
