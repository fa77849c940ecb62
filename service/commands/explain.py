"""``sentiment explain``: why a text got its label, in a terminal."""

from collections.abc import Iterator
from gettext import gettext as _
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from model.config import LABELS
from model.engines import EngineChoice
from model.errors import one_line, printable
from service.commands.inputs import decoded, looks_like_file
from service.commands.options import engine_option, model_option, own_words_options
from service.commands.terminal import bar, bar_to_the_left, cells, padded, shortened, show

if TYPE_CHECKING:
    from model import Explanation
    from model.explain import ExplainedUnit

_COLOURS: Final = {"positive": "green", "neutral": "blue", "negative": "red"}
_PROBABILITY_CELLS: Final = 40
_CONTRIBUTION_CELLS: Final = 12
_MAX_CELLS: Final = 30


@click.command()
@click.argument("text")
@click.option(
    "--text", "as_text", is_flag=True, help="Take TEXT for a text, even if a file has that name."
)
@click.option("--gates", is_flag=True, help="Show what the gates of the LSTM did, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the reply of /v1/explain instead.")
@model_option
@engine_option
@own_words_options
def explain(
    text: str,
    as_text: bool,
    gates: bool,
    as_json: bool,
    model: Path,
    engine: EngineChoice,
    user_words: Path | None,
    extra_stopwords: Path | None,
    kept_words: Path | None,
) -> None:
    r"""Show why a text gets its label: what each word adds to it.

    \b
    sentiment explain 房间干净，就是早餐太差

    A word adds the log-odds of the label, less those without the word: above 0 it speaks for the
    label, below 0 against it. In a text of more than 128 tokens clauses take the place of words.
    """
    from model import Classifier, read_custom_words
    from model.explain import explain as run_explanation

    if not as_text and looks_like_file(text):
        raise click.UsageError(
            _("{path} is no text but a file; give --text if it is one").format(path=one_line(text))
        )
    text = decoded(text)
    words = read_custom_words(user_words, extra_stopwords, kept_words)
    classifier = Classifier.load(model, engine=engine, words=words)
    explanation = run_explanation(classifier, text)
    if as_json:
        from service.explanation_schemas import ExplainResponse
        from service.schemas import ModelVersion

        version = ModelVersion.of(classifier.artifact)
        click.echo(ExplainResponse.of(text, explanation, version).model_dump_json(indent=2))
        return
    for line in _report(text, explanation):
        show(line)
    if gates:
        for line in _gates(text, explanation):
            show(line)


def _report(text: str, explanation: "Explanation") -> Iterator[str]:
    """Yield the probabilities as bars, and the contributions to the label as bars to both sides."""
    label = explanation.prediction.label
    yield click.style(_(label), fg=_COLOURS[label], bold=True) + (
        "  " + _("uncertain: ask a person") if explanation.prediction.uncertain else ""
    )
    names = [_(each) for each in LABELS]
    width = max(map(cells, names))
    for each, name, share in zip(LABELS, names, explanation.prediction.probabilities, strict=True):
        drawn = click.style(
            padded(bar(share, _PROBABILITY_CELLS), _PROBABILITY_CELLS), _COLOURS[each]
        )
        yield f"  {padded(name, width)}  {drawn}  {share:6.1%}"
    heading = (
        _("What each word adds to {label}, in log-odds:")
        if explanation.unit == "token"
        else _("What each clause adds to {label}, in log-odds:")
    )
    yield "\n" + heading.format(label=_(label))
    index = LABELS.index(label)
    largest = max(abs(unit.attribution[index]) for unit in explanation.units) or 1.0
    spelled = _spelled(text, explanation)
    for name, unit in zip(spelled, explanation.units, strict=True):
        added = unit.attribution[index]
        against = bar_to_the_left(max(-added, 0) / largest, _CONTRIBUTION_CELLS)
        favouring = click.style(bar(max(added, 0) / largest, _CONTRIBUTION_CELLS), _COLOURS[label])
        line = f"{name}  {added:+6.2f}  {against:>{_CONTRIBUTION_CELLS}}│{favouring}"
        yield f"  {line}{_note(unit, text)}".rstrip()


def _note(unit: "ExplainedUnit", text: str) -> str:
    if unit.dropped:
        return "  " + _("dropped: a stopword")
    if unit.unknown:
        spelled = (text[each.offset : each.offset + each.length] for each in unit.unknown)
        words = printable(", ".join(dict.fromkeys(spelled)))
        return "  " + _("not in the vocabulary: {words}").format(words=shortened(words, _MAX_CELLS))
    return ""


def _gates(text: str, explanation: "Explanation") -> Iterator[str]:
    """Yield the mean activations of the gates at each unit, and what is retained of it."""
    yield "\n" + _("What the gates did, from 0 (shut) to 1 (open); forwards / backwards:")
    columns = [_("input"), _("forget"), _("output"), _("retained")]
    width = max(11, *map(cells, columns))
    spelled = _spelled(text, explanation)
    headings = "  ".join(padded(each, width) for each in columns)
    yield f"  {'':{cells(spelled[0])}}  {headings}".rstrip()
    for name, unit in zip(spelled, explanation.units, strict=True):
        if unit.activations is None:
            yield f"  {name}  {_('dropped: a stopword')}"
            continue
        forward, backward = unit.activations.forward, unit.activations.backward
        pairs = [*zip(forward, backward, strict=True), tuple(unit.activations.retention)]
        shown = (padded(f"{ahead:.2f} / {back:.2f}", width) for ahead, back in pairs)
        yield f"  {name}  {'  '.join(shown)}".rstrip()


def _spelled(text: str, explanation: "Explanation") -> list[str]:
    """Return the units as they stand in the text, all of one width."""
    names = [
        printable(" ".join(text[unit.offset : unit.offset + unit.length].split()))
        for unit in explanation.units
    ]
    width = min(max(map(cells, names)), _MAX_CELLS)
    return [padded(shortened(name, width), width) for name in names]
