"""No pattern, and no text that a client sends, takes longer than its length."""

import ast
import importlib
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import islice, product
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from starlette.routing import Mount, Route

from bench.attacks.shapes import HOSTILE_TEXTS
from model.classifier import Classifier
from model.text.normalization import normalize
from model.text.sentences import split_sentences
from service.app import ADAPTER_NAMES, ROUTERS, create_api, load_adapter
from service.settings import Settings
from service.state import Service
from tests.support.repository import ROOT

pytestmark = pytest.mark.exhaustive

_SOURCES = sorted(path for name in ("model", "service") for path in (ROOT / name).rglob("*.py"))

# Patterns that see nothing of a client's, and whose they are.
OPERATORS = {
    "model.artifact._FIGURE": "names of files in a manifest",
    "model.training.templates._SLOT": "templates of the project's own",
    "service.api_keys._NAME": "the file of keys",
    "service.api_keys._DIGEST": "the file of keys",
}

LENGTH = 10_000
# Of processor time: below it a growth cannot be told from noise, and above it nothing may take.
_NOISE_SECONDS = 0.005
_MAX_SECONDS = 0.3
_MAX_HOLD_SECONDS = 0.02
_MAX_GROWTH = 3.0  # when the length doubles; it is 4 where time grows with its square


class _TooLongError(Exception):
    """A search has taken longer than it may."""


def seconds(pattern: re.Pattern[Any], text: str) -> float:
    """The processor time of all searches of a text, or infinity where they are cut off."""
    given = text.encode("latin-1") if isinstance(pattern.pattern, bytes) else text
    started = time.thread_time()

    def look(_: int, __: FrameType | None) -> None:
        if time.thread_time() - started > 2 * _MAX_SECONDS:
            raise _TooLongError

    before = signal.signal(signal.SIGVTALRM, look)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, _MAX_SECONDS, _MAX_SECONDS)
        pattern.fullmatch(given)
        for _ in pattern.finditer(given):
            pass
        return time.thread_time() - started
    except _TooLongError:
        return float("inf")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def too_slow(pattern: re.Pattern[Any], start: str, unit: str) -> str:
    """Why a pattern takes too long for a start and a unit again and again, or nothing."""

    def least(length: int, so_far: float) -> float:
        text = (start + unit * (length // len(unit)))[: length - 2] + "\x00\n"
        return min(so_far, seconds(pattern, text))

    half = whole = float("inf")
    for _ in range(3):
        whole = least(LENGTH, whole)
        if whole > 2 * _MAX_SECONDS:
            return f"{start!r}, then {unit!r} again and again: over {_MAX_SECONDS} s"
        if whole < _NOISE_SECONDS:
            return ""
        half = least(LENGTH // 2, half)
        if whole < min(_MAX_GROWTH * half, _MAX_SECONDS):
            return ""
    return f"{start!r}, then {unit!r} again and again: {half:.3f} s for half of {whole:.3f} s"


class Pieces:
    """What a pattern is made of, by the tree that ``re`` makes of it."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        parser = importlib.import_module("re._parser")
        source = pattern.pattern
        if isinstance(source, bytes):
            source = source.decode("latin-1")
        self._tree = parser.parse(
            source, pattern.flags & ~re.LOCALE | (0 if pattern.flags & re.ASCII else re.UNICODE)
        )
        self._groups: dict[int, str] = {}
        self._alphabet = sorted({*self._characters(self._tree), *"a好0_ .!\x00\n"})
        if isinstance(pattern.pattern, bytes):
            self._alphabet = [char for char in self._alphabet if char < "\u0100"]

    def hostile(self) -> Iterator[tuple[str, str]]:
        """A start and a unit to repeat after it.

        For every part of the pattern that may come again: what stands before it, then what it
        matches, in every of its ways, cut off anywhere, and two such together; and all that again.
        """
        for start, body in self._repeats(self._tree, ""):
            samples = self._samples(body)
            cuts = dict.fromkeys(s[:end] for s in samples for end in range(1, len(s) + 1))
            pairs = (a + b for a, b in product(islice(cuts, 6), repeat=2) if a != b)
            for unit in dict.fromkeys((*cuts, *pairs)):
                yield start, unit
                if start:
                    yield "", start + unit
                    yield "", start + unit * 24
            if start:
                yield "", start

    def _characters(self, tree: Any) -> Iterator[str]:
        """Those that the pattern names."""
        for operator, value in tree:
            name = str(operator)
            if name in ("LITERAL", "NOT_LITERAL"):
                yield chr(value)
            elif name == "RANGE":
                yield from map(chr, value)
            elif name == "IN":
                yield from self._characters(value)
            else:
                for part in self._parts(name, value):
                    yield from self._characters(part)

    def _parts(self, name: str, value: Any) -> Sequence[Any]:
        """The patterns within one."""
        if name == "BRANCH":
            parts: Sequence[Any] = value[1]
            return parts
        if name in ("SUBPATTERN", "MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return [value[-1]]
        if name == "ATOMIC_GROUP":
            return [value]
        if name in ("ASSERT", "ASSERT_NOT"):
            return [value[1]]
        assert name in (
            "LITERAL",
            "NOT_LITERAL",
            "IN",
            "ANY",
            "AT",
            "CATEGORY",
            "GROUPREF",
            "NEGATE",
        ), f"{name} is new here: say what it is made of"
        return []

    def _repeats(self, tree: Any, start: str) -> Iterator[tuple[str, Any]]:
        """Every repeated part, and what matches all that stands before it."""
        for item in tree:
            name, value = str(item[0]), item[1]
            parts = self._parts(name, value)
            if name.endswith("REPEAT") and value[1] > 1:
                yield start, value[-1]
            if not name.startswith("ASSERT"):
                for part in parts:
                    yield from self._repeats(part, start)
            start += self._samples([item])[0]

    def _samples(self, tree: Any) -> list[str]:
        """What matches: each choice of each part once, beside the first of all others."""
        whole = [""]
        for operator, value in tree:
            ways = self._ways(str(operator), value)
            whole = [whole[0] + way for way in ways] + [way + ways[0] for way in whole[1:]]
        return list(dict.fromkeys(whole))

    def _ways(self, name: str, value: Any) -> list[str]:
        if name == "LITERAL":
            return [chr(value)]
        if name in ("NOT_LITERAL", "ANY", "IN"):
            members = [(name, value)] if name != "IN" else value
            found = [char for char in self._alphabet if _holds(members, char)]
            # One in the middle is most likely a letter.
            return list(dict.fromkeys([found[len(found) // 2], found[0], found[-1]]))
        if name == "BRANCH":
            return [way for part in value[1] for way in self._samples(part)]
        if name == "SUBPATTERN":
            ways = self._samples(value[-1])
            if value[0] is not None:
                self._groups[value[0]] = ways[0]
            return ways
        if name == "ATOMIC_GROUP":
            return self._samples(value)
        if name == "GROUPREF":
            return [self._groups[value]]
        if name.endswith("REPEAT"):
            least, most, body = value
            ways = self._samples(body)
            enough = max(least, 1) if most else 0
            return [ways[0] * least, *(way * enough for way in ways)]
        return [""]


def _holds(members: Any, char: str) -> bool:
    """Whether a class of characters has one."""
    categories = {
        "CATEGORY_DIGIT": char.isdecimal(),
        "CATEGORY_SPACE": char.isspace(),
        "CATEGORY_WORD": char.isalnum() or char == "_",
    }
    found, negated = False, False
    for operator, value in members:
        name = str(operator)
        if name == "NEGATE":
            negated = True
        elif name == "RANGE":
            found |= value[0] <= ord(char) <= value[1]
        elif name == "CATEGORY":
            kind = str(value).replace("_NOT_", "_")
            found |= categories[kind] != ("_NOT_" in str(value))
        elif name == "ANY":
            found |= char != "\n"
        else:
            found |= (chr(value) == char) != (name == "NOT_LITERAL")
    return found != negated


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _found(name: str, value: object, seen: set[int]) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """The patterns of a value: itself, or what it holds."""
    if id(value) in seen:
        return
    seen.add(id(value))
    held: Iterable[tuple[object, object]] = ()
    if isinstance(value, re.Pattern):
        yield name, value
    elif isinstance(value, Mapping):
        held = value.items()
    elif isinstance(value, list | tuple | set | frozenset):
        held = enumerate(value)
    elif isinstance(value, type):
        if value.__module__.startswith(("model.", "service.")):
            held = vars(value).items()
    elif is_dataclass(value):
        held = ((field.name, getattr(value, field.name)) for field in fields(value))
    for key, part in list(held):
        yield from _found(f"{name}.{key}", part, seen)


def _patterns() -> dict[str, re.Pattern[Any]]:
    """Those of every module that has any, and of the paths of all routes."""
    found: dict[str, re.Pattern[Any]] = {}
    seen = set[int]()
    for path in _SOURCES:
        if "re.compile(" in path.read_text(encoding="utf-8"):
            module = importlib.import_module(_module(path))
            for name, value in vars(module).items():
                found |= _found(f"{module.__name__}.{name}", value, seen)
    routers = [
        *ROUTERS,
        *(router for name in ADAPTER_NAMES for router in load_adapter(name).routers),
    ]
    api = create_api(Service(Settings()))
    for route in [*api.routes, *(route for router in routers for route in router.routes)]:
        if isinstance(route, Route | Mount):
            found |= _found(f"route {route.path}", route.path_regex, seen)
    return found


PATTERNS = _patterns()


def test_every_pattern_is_found() -> None:
    assert len(PATTERNS) > 40
    assert OPERATORS.keys() <= PATTERNS.keys()
    for path in _SOURCES:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        inside = {
            node
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.ImportFrom) and node.module == "re"), path
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "re":
                place = f"{path}:{node.lineno}"
                assert node.func.attr in ("compile", "escape"), f"{place}: compile the pattern"
                assert node not in inside, f"{place}: compile it where the module begins"
        # Those of pydantic are matched by Rust's regex, which does not backtrack, unless asked to.
        assert "regex_engine" not in source, path


@pytest.mark.parametrize("name", sorted(PATTERNS.keys() - OPERATORS.keys()))
def test_a_pattern_takes_no_longer_than_its_text(name: str) -> None:
    pattern = PATTERNS[name]
    slow = (too_slow(pattern, start, unit) for start, unit in set(Pieces(pattern).hostile()))
    assert next(filter(None, slow), "") == ""


# With the length as an exponent, with its square, and with a bound that is as bad, which was the
# tokenizer's own.
@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:a+)+b",
        r"\d+x",
        r"<!--.*?-->",
        r"""<a(?:\s+[a-z][a-z-]*(?:=(?:"[^"<>]*"|'[^'<>]*'|[!-;=?-~]+))?){0,20}\s*/?>""",
    ],
)
def test_a_pattern_that_takes_longer_is_found(pattern: str) -> None:
    compiled = re.compile(pattern)
    assert any(too_slow(compiled, start, unit) for start, unit in Pieces(compiled).hostile())


TEXTS = {name: text for name, (text, _) in HOSTILE_TEXTS.items() if len(text) <= LENGTH}


def longest_call(work: Callable[[], object]) -> float:
    """The longest processor time out of Python, whose lock nobody else can have meanwhile."""
    longest, last = 0.0, time.thread_time()

    def look(_: FrameType, event: str, __: object) -> None:
        nonlocal longest, last
        if event != "c_call":  # Python runs again: within a call, or after it
            longest = max(longest, time.thread_time() - last)
        last = time.thread_time()

    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)
    return longest


def longest_step(pattern: re.Pattern[str], text: str) -> float:
    """The processor time of the longest search for a next match."""
    longest, matches, match = 0.0, pattern.finditer(text), True
    while match:
        started = time.thread_time()
        match = bool(next(matches, None))
        longest = max(longest, time.thread_time() - started)
    return longest


def processor_seconds(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_is_read_in_time_and_lets_others_have_turns(
    name: str, shipped_classifier: Classifier
) -> None:
    text = TEXTS[name]
    normalized = normalize(text).text
    for work in (partial(shipped_classifier.encoder.encode, text), partial(split_sentences, text)):
        assert _soon(partial(processor_seconds, work), _MAX_SECONDS)
        assert _soon(partial(longest_call, work), _MAX_HOLD_SECONDS)
    for pattern, read in (
        ("model.text.pipeline._TOKEN", normalized),
        ("model.text.sentences._PART", text),
    ):
        assert _soon(partial(longest_step, PATTERNS[pattern], read), _MAX_HOLD_SECONDS)


def _soon(measure: Callable[[], float], most: float) -> bool:
    """Whether one of three measurements is below a bound: others may be at work beside."""
    return any(measure() < most for _ in range(3))
