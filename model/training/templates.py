"""Synthetic training sentences: what corpora seldom say, or label wrongly.

Some are made from templates. The curated ones were written one by one for this project by a large
language model: turns, irony, deeds without a word of judgement, emoji, slang, finance.
"""

import csv
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from model.config import LABELS, Label
from model.corpora import Example, text_digest

TEMPLATE_SOURCE = "templates"
CURATED_SOURCE = "curated"
# Curated sentences that a model trained on a file of one's own is scored on, beside that file.
SHIPPED_SOURCE = "shipped sentences"

_CURATED_FILE = Path(__file__).with_name("curated.csv")
_FILE = Path(__file__).with_suffix(".toml")
_SLOT = re.compile(r"\{(\w+)\}")
_HELD_OUT_MODULUS = 10
_DRAWS = 4  # per sentence wanted; a template with few words gives fewer sentences


class _Templates(BaseModel):
    """Forms with slots, the label of their sentences, and how many sentences each form gives."""

    model_config = ConfigDict(extra="forbid")

    label: Label
    each: Annotated[int, Field(gt=0)]
    forms: list[str]


class _TemplateFile(BaseModel):
    """Templates and the words that fill them.

    A sentence takes its words from ``lists`` and from the lists of one domain.
    """

    model_config = ConfigDict(extra="forbid")

    lists: dict[str, list[str]]
    domains: dict[str, dict[str, list[str]]]
    templates: list[_Templates]


def template_sentences(seed: int, path: Path = _FILE) -> list[Example]:
    """Make distinct sentences from all templates; the same ones for the same seed."""
    content = _TemplateFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    generator = np.random.default_rng((seed, 7))
    domains = [content.lists | domain for domain in content.domains.values()]
    examples: dict[str, Example] = {}
    for templates in content.templates:
        for form in templates.forms:
            made: set[str] = set()
            for _ in range(templates.each * _DRAWS):
                words = domains[generator.integers(len(domains))]
                text = _filled(form, words, generator)
                made.add(text)
                label = LABELS.index(templates.label)
                examples.setdefault(text, Example(text, label, TEMPLATE_SOURCE))
                if len(made) == templates.each:
                    break
    return list(examples.values())


def curated_sentences(path: Path = _CURATED_FILE) -> list[Example]:
    """Read the curated sentences, in the order of the file; their kinds are the groups."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Example(row["text"], LABELS.index(row["label"]), CURATED_SOURCE, row["kind"])
            for row in csv.DictReader(file)
        ]


def shipped_sentences(*, held_out: bool) -> list[Example]:
    """Return the tenth of the curated sentences that own files never train on, or the others."""
    return [
        replace(sentence, source=SHIPPED_SOURCE, calibrates=False)
        for sentence in curated_sentences()
        if (int(text_digest(sentence.text), 16) % _HELD_OUT_MODULUS == 0) == held_out
    ]


def _filled(form: str, words: dict[str, list[str]], generator: np.random.Generator) -> str:
    """Fill each slot of a form with a word; two slots of one name get different words."""
    text, used = form, set[str]()
    for slot in _SLOT.findall(form):
        choices = [word for word in words[slot] if word not in used]
        word = choices[generator.integers(len(choices))]
        used.add(word)
        text = text.replace(f"{{{slot}}}", word, 1)
    return text
