"""The tests' own order: what several share is in ``tests.support``."""

import ast

import pytest

from tests.support.repository import ROOT

FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_is_imported_from_a_module_of_tests(path: str) -> None:
    imported = {
        module
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        for module in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    others = {module for module in imported if module.partition(".")[0] == "tests"}
    assert not [module for module in others if not module.startswith("tests.support.")]
