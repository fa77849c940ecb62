"""Runs over tables: resumed without a row lost or doubled, and nobody else's file replaced."""

import fcntl
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model.bulk.labelling import label_table
from model.bulk.table import ReadOptions
from model.classifier import Classifier
from model.errors import DataError
from model.text.custom_words import CustomWords
from tests.support.tables import (
    KINDS,
    csv_rows,
    many_texts,
    options,
    run,
    write,
)


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
    unknown = run(table, "--model", tiny_artifact, "--output", tmp_path / "b.txt")
    assert "b.txt cannot be written; its name must end in .csv" in unknown.output
    assert "for a table" in run("好", "--model", tiny_artifact, "--force").output
    assert "give one file and nothing else" in run(table, tmp_path / "b.tsv").output


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
    """The files of a folder and their contents."""
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
        assert result.exit_code == (2 if kind == "folder" else 3), result.output
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
            if partial.exists() and partial.stat().st_size > 32 * 2048:
                break
            time.sleep(0.002)
        if not first:
            time.sleep(random.uniform(0, 3))
        process.kill()
        process.wait()
    if not output.exists():
        with partial.open("ab") as file:
            file.write(b"torn")
        # Some of its rows are blank.
        assert run(table, "--resume", "--model", tiny_artifact, "--output", output).exit_code == 3
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
    read = ReadOptions("n" if changed == "column" else None)
    with pytest.raises(DataError, match=f"a run with another {changed}; --force"):
        label_table(tiny_classifier, table, options=read, resume=True)
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
