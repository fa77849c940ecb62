"""Who wins a text that turns: what stands last, or what there is more of.

    .venv/bin/python -m bench.turns [ARTIFACT]

joins five remarks of praise and five of blame, each read rightly alone, in every way that the table
names, and prints in how many texts the label is that of the last part, and in how many the label of
the last sentence (`/v1/analyze`) agrees with that of the whole.
"""

import argparse
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path

from model.classifier import Classifier
from model.text.sentences import split_sentences
from service.settings import SHIPPED_MODEL

PRAISE = (
    "面条筋道，汤头鲜得眉毛都要掉了",
    "老板记得每个熟客的口味",
    "桌椅擦得发亮，坐着舒心",
    "上菜又快又热乎",
    "凉菜是送的，味道一点不含糊",
)
BLAME = (
    "碗底粘着上一拨人的菜叶",
    "账单多算了两个菜，还死不承认",
    "厕所臭得没法进",
    "等了一个半小时才上第一道菜",
    "吃完当晚全家拉肚子",
)
VERDICTS = {"positive": "下周还要带朋友来", "negative": "以后再也不来了"}
TURNS = ("。但是", "，但是", "。不过", "。结果", "。没想到", "。最后")
SIDED_TURNS = {"positive": "。好在", "negative": "。可惜"}


def texts() -> Iterator[tuple[str, str, str]]:
    """The row of the table, the label of the last part, and the text."""
    sides = {"positive": PRAISE, "negative": BLAME}
    other = {"positive": BLAME, "negative": PRAISE}
    for last, endings in sides.items():
        for turn in (*TURNS, SIDED_TURNS[last]):
            for first, ending in product(other[last], endings):
                yield f"1 + `{turn}` + 1", last, f"{first}{turn}{ending}。"
        for count in (2, 3):
            for firsts, ending in product(combinations(other[last], count), endings):
                yield f"{count} + `。最后` + 1", last, f"{'。'.join(firsts)}。最后{ending}。"
        for firsts, ending in product(combinations(other[last], 3), endings):
            yield "3 + 1 + verdict", last, f"{'。'.join(firsts)}。{ending}，{VERDICTS[last]}。"


def main() -> None:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact", nargs="?", type=Path, default=SHIPPED_MODEL)
    classifier = Classifier.load(parser.parse_args().artifact)
    alone = list(classifier.predict([*PRAISE, *BLAME]))
    wanted = ["positive"] * len(PRAISE) + ["negative"] * len(BLAME)
    right = sum(one.label == label for one, label in zip(alone, wanted, strict=True))
    print(f"{right} of {len(alone)} remarks are read rightly alone.\n")

    rows = list(texts())
    whole = list(classifier.predict(text for _, _, text in rows))
    ends = [(text, split_sentences(text)[-1]) for _, _, text in rows]
    last = list(
        classifier.predict(text[end.offset : end.offset + end.length] for text, end in ends)
    )
    found: dict[tuple[str, str], list[tuple[bool, bool]]] = {}
    for (name, label, _), document, sentence in zip(rows, whole, last, strict=True):
        found.setdefault((name, label), []).append(
            (document.label == label, document.label == sentence.label)
        )
    print("| text | last part | texts | label of the last part | label of the last sentence |")
    print("|---|---|---:|---:|---:|")
    for (name, label), answers in found.items():
        decided, agreed = (sum(answer[place] for answer in answers) for place in (0, 1))
        print(f"| {name} | {label} | {len(answers)} | {decided} | {agreed} |")
    answers = [answer for group in found.values() for answer in group]
    decided, agreed = (sum(answer[place] for answer in answers) for place in (0, 1))
    print(f"| in all | | {len(answers)} | {decided} | {agreed} |")


if __name__ == "__main__":
    main()
