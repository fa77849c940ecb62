"""What the documents say is so."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from model.classifier import Classifier
from model.config import SourceConfig, UnlabelledConfig, load_config
from model.evaluation.results import in_chinese
from service.app import create_app
from service.commands import main
from service.settings import ENVIRONMENT_PREFIX, Settings, load_settings
from tests.support.artifacts import SHIPPED
from tests.support.http import wait_ready
from tests.support.process import served
from tests.support.repository import ROOT, read

READMES = ["README.md", "README.zh-CN.md"]


def settings_table() -> str:
    """Return every setting as a Markdown table; print it to update docs/operations.md."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "the shipped model" if name == "model" else f"`{field.default}`"
        if field.default in ("", None, ()):
            default = "none"
        lines.append(f"| `{ENVIRONMENT_PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines)


def test_the_table_of_settings_is_the_settings_class() -> None:
    assert settings_table() in read("docs/operations.md")


@pytest.mark.parametrize("name", READMES)
def test_the_request_of_the_readme_gets_its_reply(name: str) -> None:
    text = read(name)
    request = re.search(r"-d '(\{.*\})'", text)
    reply = re.search(r"```json\n(\{.*?\})\n```", text, re.DOTALL)
    assert request
    assert reply
    with TestClient(create_app(load_settings())) as client:
        wait_ready(client)
        answer = client.post("/v1/predict", json=json.loads(request[1])).json()
    expected = json.loads(reply[1])
    # Another processor may round the last digits of the probabilities otherwise.
    assert answer.pop("probabilities") == pytest.approx(expected.pop("probabilities"), abs=1e-4)
    assert answer.pop("confidence") == pytest.approx(expected.pop("confidence"), abs=1e-4)
    assert answer == expected


DOCUMENTS = [
    *READMES,
    "SECURITY.md",
    "CONTRIBUTING.md",
    *(f"docs/{document.name}" for document in (ROOT / "docs").glob("*.md")),
]


def code_of(document: str) -> str:
    """Return what a document shows as code: blocks and spans, one per line."""
    return "\n".join(re.findall(r"```.*?```|`[^`]+`", read(document), re.DOTALL))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_and_link_of_a_document_exists(name: str) -> None:
    code = code_of(name)
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", code)) <= targets
    assert set(re.findall(r"\bsentiment ([a-z][a-z-]+)\b", code)) <= set(main.commands)
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", read(name)):
        assert ((ROOT / name).parent / link).exists(), link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_option_that_a_document_shows_exists(name: str) -> None:
    for command, arguments in re.findall(r"\bsentiment ([a-z-]+)((?: [^|`#\n]*)?)", code_of(name)):
        if command in main.commands:
            known = {o for p in main.commands[command].params for o in (*p.opts, *p.secondary_opts)}
            shown = set(re.findall(r"(?<!\S)--[a-z-]+", arguments))
            assert shown <= known | {"--help"}, command


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_that_a_document_names_exists(name: str) -> None:
    folders = "bench|deploy|docs|model|requirements|service|tests|tools"
    for path in re.findall(rf"(?<![\w/.-])(?:{folders})/[\w./*-]*[\w*]", code_of(name)):
        assert any(ROOT.glob(path)), path


def slug(heading: str) -> str:
    """Return what a link calls a heading by: no punctuation, and a hyphen for each blank."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_heading_that_a_document_links_to_exists(name: str) -> None:
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", read(name)):
        path = ROOT / name if not target else (ROOT / name).parent / target
        headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
        assert anchor in {slug(heading) for heading in headings}, f"{target}#{anchor}"


# What stands in two languages must hold the same figures and code.
TRANSLATED = [
    ("README.md", "README.zh-CN.md"),
    ("docs/guide.md", "docs/guide.zh-CN.md"),
    ("docs/faq.md", "docs/faq.zh-CN.md"),
]


@pytest.mark.parametrize(("english", "chinese"), TRANSLATED)
def test_both_languages_show_the_same_figures_and_commands(english: str, chinese: str) -> None:
    def figures(name: str) -> list[list[str]]:
        rows = re.findall(r"^\|.*\|$", read(name), re.MULTILINE)
        return [sorted(re.findall(r"\d+\.\d+", row)) for row in rows]

    def blocks(name: str) -> list[list[str]]:
        """Each block of code, without the comments and the Chinese that differ."""
        code = re.findall(r"```\w*\n(.*?)```", read(name), re.DOTALL)
        return [[line.split(" #")[0].rstrip() for line in block.splitlines()] for block in code]

    assert figures(english) == figures(chinese)
    assert blocks(english) == blocks(chinese)
    headings = [re.findall(r"^(#+) ", read(name), re.MULTILINE) for name in (english, chinese)]
    assert headings[0] == headings[1]


@pytest.mark.parametrize("name", READMES)
def test_the_readme_s_figures_are_those_of_the_card(
    name: str, shipped_classifier: Classifier
) -> None:
    """Those of the first screen, of the alternatives and of what it is not for."""
    card = shipped_classifier.artifact.card
    text = read(name)
    lead = text.split("make serve")[0]
    found = re.search(r"^\| all \| (1,\d+) \|(.*)$", card, re.MULTILINE)
    assert found
    accuracy, _, certain, accuracy_where_certain, *_ = (c.strip() for c in found[2].split("|"))
    for figure in (found[1], accuracy, certain, accuracy_where_certain):
        assert figure in lead, figure
    for system, column in (("zh-sentiment", 4), ("[SnowNLP]", 7)):
        (row,) = re.findall(rf"^\| {re.escape(system)}.*$", text, re.MULTILINE)
        for test, measure in (("annotated", "accuracy"), ("chnsenticorp_official", "accuracy")):
            scores = re.search(rf"^\| {test} \|.*\| {measure} \|.*$", card, re.MULTILINE)
            assert scores
            assert scores[0].split("|")[column].strip() in row
    for group in ("sarcasm", "rhetorical question"):
        found = re.search(rf"^\| {group} \| (\d+) of (\d+) \|$", card, re.MULTILINE)
        assert found
        assert re.search(rf"\b{found[1]}\b.*\b{found[2]}\b|{found[2]} 句判对 {found[1]} 句", text)


@pytest.mark.parametrize(
    ("name", "heading"), [("annotated", "domain"), ("comparison", "test split")]
)
def test_the_tables_of_the_readmes_are_those_of_the_card(
    name: str, heading: str, shipped_classifier: Classifier
) -> None:
    def block(document: str, name: str) -> str:
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        return read(document).split(begin)[1].split(end)[0].strip()

    card = shipped_classifier.artifact.card
    found = re.search(rf"^\| {heading} \|.*\n(\|.*\n)+", card, re.MULTILINE)
    table = found[0].strip() if found else ""
    assert table or name == "annotated"  # of a card without groups, their block is empty
    assert block("README.md", name) == table
    assert block("README.zh-CN.md", f"{name}-zh") == (in_chinese(table) if table else "")


def licences() -> list[tuple[str, str]]:
    """Every set that the shipped model learnt from, and its licence."""
    config = load_config("zh-general")
    assert config.pretrain
    sets: list[SourceConfig | UnlabelledConfig] = [
        *config.data.sources,
        *config.pretrain.unlabelled,
    ]
    return [(source.name, source.licence) for source in sets]


def test_the_licences_of_every_training_set_are_in_the_card(
    shipped_classifier: Classifier,
) -> None:
    for name, licence in licences():
        assert f"| {name} |" in shipped_classifier.artifact.card
        assert licence in shipped_classifier.artifact.card


CHINESE_LICENCES = {
    "texts: of their sources; labels: ours": "文本的许可随来源；标签归本项目",
    "ours": "归本项目",
    "none stated; shared evaluation": "未声明；公开评测",
    "none stated": "未声明",
    "none stated; competition data": "未声明；竞赛数据",
    "repository MIT, data for research": "仓库为 MIT，数据供研究使用",
    "repository MIT, origin of the data undocumented": "仓库为 MIT，数据来源不明",
    "by row: Apache-2.0, CC BY-SA, research only, or none stated": (
        "逐条不同：Apache-2.0、CC BY-SA、仅限研究或未声明"
    ),
    "MIT, none stated": "MIT、未声明",
    "non-commercial research": "仅限非商业研究",
    "none stated; shared task": "未声明；公开评测任务",
    "mostly none stated; a few Apache-2.0, MIT, CC BY": "多数未声明；少数为 Apache-2.0、MIT、CC BY",
}


@pytest.mark.parametrize("name", READMES)
def test_the_readmes_name_the_licence_of_every_training_set(name: str) -> None:
    chinese = name != "README.md"
    for source, licence in licences():
        shown = CHINESE_LICENCES.get(licence, licence) if chinese else licence
        (row,) = re.findall(rf"^\| {re.escape(shown)} \| (.*) \|$", read(name), re.MULTILINE)
        assert source in re.split("、|, ", row), source


def test_the_commands_explain_themselves() -> None:
    for name in main.commands:
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0
        assert len(result.output.splitlines()) > 4


def test_each_threat_names_tests_that_exist() -> None:
    tests = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    rows = re.findall(r"^\| (?!attacker and attack).*$", read("docs/security.md"), re.MULTILINE)
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.split(" | ")[2])
        assert named, row
        assert set(named) <= tests, row


def test_locks_hold_versions_and_no_address() -> None:
    locks = "".join(path.read_text() for path in (ROOT / "requirements").glob("*.txt"))
    assert "://" not in locks
    assert "==" in locks


@pytest.mark.parametrize("name", READMES)
def test_the_readmes_speeds_are_those_that_the_benchmark_wrote(name: str) -> None:
    def rows(page: str) -> dict[str, list[str]]:
        found = re.findall(r"^\| ([\w ,-]+?) \| (\d[^|]*\|.*) \|$", read(page), re.MULTILINE)
        # The first table with a system's name is that of its speed.
        first = dict(reversed(found))
        return {
            system: [cell.strip() for cell in cells.split("|")] for system, cells in first.items()
        }

    measured = rows("docs/performance.md")
    copied = {system: cells for system, cells in rows(name).items() if "/" in cells[3]}
    assert len(copied) == 7
    for system, cells in copied.items():
        one, sixteen, most, _, _, _, latency, _, memory = measured[system][:9]
        assert cells == [one, sixteen, most, latency, memory], system


@pytest.mark.parametrize("name", READMES)
def test_the_readme_names_the_processor_of_its_speeds(name: str) -> None:
    found = re.search(
        r"^\d+ processors, (.+?), (?:shared by server|of which wrk)",
        read("docs/performance.md"),
        re.M,
    )
    assert found
    words = found[1].replace("(R)", "").removesuffix(" Processor")
    assert words in read(name)


def test_the_openapi_document_is_the_one_that_is_served() -> None:
    with TestClient(create_app(load_settings())) as client:
        document = client.get("/openapi.json").json()
    # After a change of the API: sentiment openapi > docs/openapi.json
    assert json.loads(read("docs/openapi.json")) == document


# How each language's block of code is run, and the name of its file.
RUNNERS = {
    "python": ([sys.executable], "ask.py"),
    "javascript": (["node"], "ask.mjs"),
    "java": (["java"], "Ask.java"),
    "sh": (["sh"], "ask.sh"),
}
# What each section's code is to print.
PRINTED = {
    "Try it": ["^positive 0.9.* False$"],
    "试一试": ["^positive 0.9.* False$"],
    "From code": ["positive", "contribution|^吃|^好吃|^不好吃"],
    "Probes": ["alive", "ready", "zh-general", r"^\d+ samples|sentiment_requests_total"],
}


@pytest.mark.process
@pytest.mark.parametrize(
    ("document", "section", "language"),
    [
        ("README.md", "Try it", "python"),
        ("README.zh-CN.md", "试一试", "python"),
        *(("docs/api.md", "From code", language) for language in ("python", "javascript", "java")),
        *(("docs/api.md", "Probes", language) for language in RUNNERS),
    ],
)
def test_the_code_of_the_documents_runs(
    document: str, section: str, language: str, tmp_path: Path
) -> None:
    command, name = RUNNERS[language]
    tool = "curl" if language == "sh" else command[0]
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} on this machine")
    text = read(document).split(f"## {section}\n")[1].split("\n## ")[0]
    (block,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    with served(SHIPPED, tmp_path / "log") as (_, address):
        wait_ready(address)
        host = address.removeprefix("http://")
        port = host.rsplit(":", 1)[1]
        code = block.replace("localhost:8000", host)
        code = code.replace('"localhost", 8000', f'"127.0.0.1", {port}')
        (tmp_path / name).write_text(code, encoding="utf-8")
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
        run = subprocess.run(
            [*command, str(tmp_path / name)],
            capture_output=True,
            env=environment,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    for pattern in PRINTED[section]:
        assert re.search(pattern, run.stdout, re.MULTILINE), pattern
