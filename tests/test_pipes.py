"""Pipes: what arrives is read in the form and the encoding it has, and answered at once."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from click.testing import Result

from model.bulk.table import ADDED_COLUMNS
from model.classifier import Classifier
from tests.support.tables import run

TEXTS = ("房间很好", "早餐很差")
LABELS = ["positive", "negative"]


def answered(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def labels(result: Result, field: str = "label") -> list[object]:
    assert result.exit_code == 0, result.output
    return [answer[field] for answer in answered(result)]


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("gb18030", "GB18030"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
    ],
)
def test_lines_of_any_encoding_are_read_as_what_they_are(
    encoding: str, named: str, tiny_artifact: Path
) -> None:
    result = run("--model", tiny_artifact, content="\r\n".join(TEXTS).encode(encoding))
    assert labels(result) == LABELS
    assert [answer["input"] for answer in answered(result)] == list(TEXTS)
    assert result.stderr == (f"standard input: text lines, {named}\n" if named else "")


def test_traditional_characters_are_read_in_big5_found_or_named(tiny_artifact: Path) -> None:
    text = "這家酒店的服務很好，下次還會再來，房間也很乾淨"
    content = f"{text}\n".encode("big5")
    for options in ((), ("--encoding", "big5")):
        result = run("--model", tiny_artifact, *options, content=content)
        assert answered(result)[0]["input"] == text


def test_what_is_in_no_encoding_is_an_error_and_no_text(tiny_artifact: Path) -> None:
    content = "房间很好\n房间很好\n".encode() + b"\xff\xfe\xfd\n" + "早餐很差\n".encode("gbk")
    result = run("--model", tiny_artifact, content=content)
    assert result.exit_code == 3
    *good, third, fourth = answered(result)
    assert [answer["label"] for answer in good] == ["positive", "positive"]
    for line, other in ((3, third), (4, fourth)):
        assert other["error"]["detail"] == "the bytes are not UTF-8"
        assert other["line"] == line
        assert "input" not in other


def test_an_encoding_that_cannot_be_is_refused(tiny_artifact: Path) -> None:
    result = run("--model", tiny_artifact, "--encoding", "klingon", content=b"1\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--encoding klingon cannot be used" in result.stderr


CSV = f'编号,评论内容,备注\r\n007,{TEXTS[0]},"a\nb"\r\n008,{TEXTS[1]},\r\n'


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_with_a_header_is_answered_row_by_row(
    encoding: str, delimiter: str, tiny_artifact: Path
) -> None:
    content = CSV.replace(",", delimiter).encode(encoding)
    result = run("--model", tiny_artifact, content=content)
    assert labels(result) == LABELS
    first = answered(result)[0]
    assert list(first) == ["编号", "评论内容", "备注", *ADDED_COLUMNS]
    assert (first["编号"], first["评论内容"], first["备注"]) == ("007", TEXTS[0], "a\nb")
    assert "texts in column 评论内容" in result.stderr


@pytest.mark.parametrize(
    "content",
    [
        "id,msg\n1,{0}\n2,{1}\n",
        '{{"id": 1, "msg": "{0}"}}\n{{"id": 2, "msg": "{1}"}}\n',
        '[{{"id": 1, "msg": "{0}"}},\n {{"id": 2, "msg": "{1}"}}]',
        '[\n  {{"msg": "{0}"}}, {{"msg": "{1}"}}\n]\n',
    ],
)
def test_the_column_is_never_ignored(content: str, tiny_artifact: Path) -> None:
    given = content.format(*TEXTS).encode()
    result = run("-", "--model", tiny_artifact, "--column", "msg", content=given)
    assert labels(result) == LABELS
    assert [answer["msg"] for answer in answered(result)] == list(TEXTS)
    missing = run("--model", tiny_artifact, "--column", "none", content=given)
    assert missing.exit_code != 0
    assert '"label"' not in missing.stdout


def test_a_field_inside_another_is_named_by_its_path(tiny_artifact: Path) -> None:
    content = "".join(f'{{"data": {{"text": "{text}"}}}}\n' for text in TEXTS).encode()
    for options in ((), ("--column", "data.text")):
        assert labels(run("--model", tiny_artifact, *options, content=content)) == LABELS


def test_a_table_without_a_header_is_one_if_that_is_said(tiny_artifact: Path) -> None:
    content = f"1;{TEXTS[0]}\n2;{TEXTS[1]}\n".encode()
    result = run("--model", tiny_artifact, "--no-header", "--column", "2", content=content)
    assert labels(result) == LABELS
    assert answered(result)[0]["1"] == "1"
    told = run("--model", tiny_artifact, "-d", ";", "--no-header", "-c", "2", content=content)
    assert labels(told) == LABELS


def test_what_names_the_delimiter_for_excel_is_no_row(tiny_artifact: Path) -> None:
    content = f"sep=;\nid;text\n1;{TEXTS[0]}\n2;\n".encode()
    result = run("--model", tiny_artifact, content=content)
    assert result.exit_code == 3
    first, second = answered(result)
    assert (first["text"], first["label"]) == (TEXTS[0], "positive")
    assert second["line"] == 4


def test_labels_of_ones_own_stay_beside_the_answers(tiny_artifact: Path) -> None:
    rows = [f"Label,text\n0,{TEXTS[0]}\n", f'{{"Label": "0", "text": "{TEXTS[0]}"}}\n']
    for content in rows:
        result = run("--model", tiny_artifact, content=content.encode())
        assert labels(result, "sentiment_label") == ["positive"]
        assert answered(result)[0]["Label"] == "0"
        named = run("--model", tiny_artifact, "--prefix", "p_", content=content.encode())
        assert labels(named, "p_label") == ["positive"]


def test_two_columns_of_one_name_keep_their_values(tiny_artifact: Path) -> None:
    result = run("--model", tiny_artifact, content=f"text,n,n\n{TEXTS[0]},1,2\n".encode())
    assert [answered(result)[0][name] for name in ("n", "n_2")] == ["1", "2"]


@pytest.mark.parametrize(
    "lines",
    [
        ["评论不错，推荐", "好评,差评"],
        ["[鼓掌]太好了", "房间很好"],
        ["{不是JSON}", "房间很好"],
        ["text me, please, 好"],
    ],
)
def test_lines_that_only_resemble_a_table_are_texts(lines: list[str], tiny_artifact: Path) -> None:
    result = run("--model", tiny_artifact, content="\n".join(lines).encode())
    assert [answer["input"] for answer in answered(result)] == lines
    assert result.stderr == ""


def test_json_lines_keep_their_fields_and_bad_ones_their_place(tiny_artifact: Path) -> None:
    lines = ["\ufeff", '{"id": 1, "text": "房间很好"}', "{", "", '{"id": 2, "text": "早餐很差"}']
    late = '{"id": 3, "text": "房间很好", "label": 1}'
    result = run("-", "--model", tiny_artifact, content="\n".join([*lines, late, ""]).encode())
    answers = answered(result)
    assert result.exit_code == 3
    assert [answer.get("id") for answer in answers] == [1, None, 2, 3]
    assert [answer.get("sentiment_label") for answer in answers] == [
        "positive",
        None,
        "negative",
        "positive",
    ]
    assert (answers[1]["line"], answers[1]["error"]["detail"]) == (3, "the line is not JSON")


def test_a_field_that_comes_too_late_for_a_prefix_is_an_error(tiny_artifact: Path) -> None:
    # Without its end, the second line counts as one that arrives later.
    lines = '{"text": "房间很好"}\n{"text": "早餐很差", "label": 1}'.encode()
    first, second = answered(run("--model", tiny_artifact, content=lines))
    assert first["label"] == "positive"
    assert second["error"]["detail"] == "it has a field label, as no row before; give a --prefix"
    named = run("--model", tiny_artifact, "--prefix", "p_", content=lines)
    assert labels(named, "p_label") == LABELS


def test_an_array_that_is_broken_is_refused(tiny_artifact: Path) -> None:
    result = run("--model", tiny_artifact, content='[{"text": "好"}, {"text"'.encode())
    assert (result.exit_code, result.stdout) == (2, "")
    assert "its row 2 is not JSON" in result.stderr


def test_a_workbook_on_a_pipe_is_to_be_named_instead(tiny_artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    openpyxl.Workbook().save(path)
    result = run("--model", tiny_artifact, content=path.read_bytes())
    assert (result.exit_code, result.stdout) == (2, "")
    assert "it is no text; name the file instead" in result.stderr


@pytest.mark.parametrize("content", [b"", b"text\n", "\ufeff".encode()])
def test_nothing_to_answer_is_no_success(content: bytes, tiny_artifact: Path) -> None:
    result = run("--model", tiny_artifact, content=content)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing to answer has arrived" in result.stderr
    blank = run("--model", tiny_artifact, " ", "<br>")
    assert blank.exit_code == 1
    assert len(answered(blank)) == 2


def test_what_is_for_tables_is_refused_where_there_is_none(tiny_artifact: Path) -> None:
    model = ("--model", tiny_artifact)
    for options in (("--column", "a"), ("--encoding", "gbk"), ("--no-header",), ("--prefix", "a")):
        assert "a text takes none of" in run("好", *options, *model).stderr
    for delimiter in ("ab", '"', ""):
        result = run(*model, "--delimiter", delimiter, content=b"a,b\n")
        assert result.exit_code == 2
        assert "--delimiter is one character" in result.stderr
    assert "no columns for --prefix" in run(*model, "--prefix", "a", content=b"1\n").stderr
    json_line = b'{"text": "1"}\n'
    assert "it is JSON" in run(*model, "--delimiter", ";", content=json_line).stderr


HEAD = {
    "lines": b"",
    "csv": b"id,text\n",
    "gbk": "房间\n".encode("gbk"),
}


@pytest.mark.process
@pytest.mark.parametrize("form", HEAD)
def test_a_line_is_answered_before_the_next_is_typed(form: str, tiny_artifact: Path) -> None:
    command = [sys.executable, "-m", "service", "predict", "--model", str(tiny_artifact)]
    encoding = "gbk" if form == "gbk" else "utf-8"
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(HEAD[form])
        for text, label in (("房间很好", "positive"), ("早餐很差", "negative")):
            process.stdin.write(f"{'7,' if form == 'csv' else ''}{text}\n".encode(encoding))
            process.stdin.flush()
            if form == "gbk" and label == "positive":
                assert json.loads(process.stdout.readline())["input"] == "房间"
            answer = json.loads(process.stdout.readline())
            assert (answer.get("input", answer.get("text")), answer["label"]) == (text, label)
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_long_pipe_is_answered_piece_by_piece(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    predict = Classifier.predict

    def counted(self: Classifier, texts: Any, *arguments: Any) -> Any:
        given = list(texts)
        sizes.append(len(given))
        return predict(self, given, *arguments)

    monkeypatch.setattr(Classifier, "predict", counted)
    content = "".join(f"{number},房间很好\n" for number in range(20_000))
    result = run("--model", tiny_artifact, content=f"id,text\n{content}".encode())
    assert len(answered(result)) == sum(sizes) == 20_000
    assert max(sizes) < 10_000
