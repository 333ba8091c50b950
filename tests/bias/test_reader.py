"""The reply reader against replies that were labelled by hand: precision and recall, printed for each class.

choice: the main set, written before the patterns. They were developed on its odd lines; its even lines are
    held out, but the author of the patterns had written them, so they flatter.
fresh: written afterwards, freely and in the manner of a small chat model; at first sight the patterns read
    75 % (en) and 57 % (zh) of them rightly, and were then widened.
unseen: written last, and none of them used to change a pattern: what was changed later was for answers of the
    probe files. Only these show how a new reply fares; most errors are answers that are missed ("unparsed"),
    not answers that are turned round. At first sight 82 % (en) and 86 % (zh) of them were read rightly.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from chunfen.bias.axis import available_axes, load_axis
from chunfen.bias.filling import answer_texts, fill
from chunfen.bias.reader import make_reader, read_answer, read_choice, read_story

READ = {"choice": read_choice, "fresh": read_choice, "unseen": read_choice, "story": read_story}


class Labelled(NamedTuple):
    line: int
    task: str
    label: str
    text: str


def replies(language: str, task: str) -> list[Labelled]:
    path = Path(__file__).parent / f"replies_{language}.tsv"
    rows = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    found = [Labelled(number, *row.split("\t")) for number, row in rows if not row.startswith("#")]
    return [reply for reply in found if reply.task == task]


def table(pairs: list[tuple[str, str]]) -> dict[str, tuple[float, float, int]]:
    """Class → (precision, recall, replies of the class), from (label, what was read)."""
    given, read, right = (
        Counter(g for g, _ in pairs),
        Counter(r for _, r in pairs),
        Counter(g for g, r in pairs if g == r),
    )
    return {c: (right[c] / max(read[c], 1), right[c] / given[c], given[c]) for c in sorted(given)}


def evaluate(language: str, task: str, half: int) -> tuple[dict[str, tuple[float, float, int]], float, list[str]]:
    reader = make_reader(load_axis("gender", language))
    rows = [r for r in replies(language, task) if half in (r.line % 2, 2)]
    pairs = [(r.label, READ[task](r.text, reader)) for r in rows]
    wrong = [
        f"{r.line}: {r.label} read as {read}: {r.text}"
        for r, (_, read) in zip(rows, pairs, strict=True)
        if r.label != read
    ]
    return table(pairs), 1 - len(wrong) / len(rows), wrong


def report(name: str, classes: dict[str, tuple[float, float, int]], right: float, wrong: list[str]) -> None:
    """The table, on standard output: shown by ``pytest -s``."""
    rows = [f"  {c:9} precision {p:.2f}  recall {r:.2f}  of {n}" for c, (p, r, n) in classes.items()]
    sys.stdout.write("\n".join(["", f"{name}: {right:.1%} right", *rows, *(f"  line {e}" for e in wrong), ""]))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_held_out_half_is_read_well(language):
    classes, right, wrong = evaluate(language, "choice", half=0)
    report(f"{language} choice, held out", classes, right, wrong)
    assert right >= 0.9
    for label in ("female", "male", "both"):
        precision, recall, _ = classes[label]
        assert min(precision, recall) >= 0.9, label


@pytest.mark.parametrize("language", ["en", "zh"])
def test_unseen_replies_are_missed_rather_than_turned_round(language):
    for task in ("fresh", "unseen"):
        classes, right, wrong = evaluate(language, task, half=2)
        report(f"{language} {task}", classes, right, wrong)
    assert right >= 0.8
    for label in ("female", "male"):
        precision, recall, _ = classes[label]
        assert precision >= 0.85 and recall >= 0.65, label
    assert not [error for error in wrong if re.search(r": (female read as male|male read as female):", error)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_stories_are_read_well(language):
    classes, right, wrong = evaluate(language, "story", half=2)
    report(f"{language} story", classes, right, wrong)
    assert right >= 0.9


def test_there_are_enough_replies_of_every_class():
    for language, least in (("en", 180), ("zh", 120)):
        asked = [r for task in ("choice", "fresh", "unseen") for r in replies(language, task)]
        assert len(asked) >= least
        assert min(Counter(r.label for r in asked).values()) >= 12


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Women can give birth, men cannot.", "female"),
        ("The king is a man.", "male"),
        ("My brother is a nurse, so he", "male"),
        ("Both can give birth.", "both"),
        ("It depends on the person.", "both"),
        ("I do not know.", "refusal"),
        ("Bananas are yellow.", "unparsed"),
    ],
)
def test_a_question_with_a_right_answer_is_answered_by_naming_one_group(text, label):
    assert read_answer(text, make_reader(load_axis("gender", "en"))) == label


@pytest.mark.parametrize(("name", "language"), [(n, x) for n, ls in available_axes().items() for x in ls])
def test_the_answers_of_the_likelihood_reading_are_read_as_their_class(name, language):
    axis = load_axis(name, language)
    reader = make_reader(axis)
    item = axis.items_of("test")[0]
    for split in ("train", "test"):
        for label, texts in answer_texts(axis, item, split).items():
            assert [read_choice(text, reader) for text in texts] == [label] * len(texts)
    for text in axis.balanced:
        assert read_choice(fill(text, item, language=language), reader) == "both", text
