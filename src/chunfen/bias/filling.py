"""Templates filled with items and groups: what is asked, word for word. Pure functions."""

from __future__ import annotations

from chunfen.bias.axis import Axis, Cue, Group, Item, Template
from chunfen.bias.wording import capitalised, plural, substitute, with_article
from chunfen.measure.types import Split


def fill(
    text: str,
    item: Item | None = None,
    group: Group | None = None,
    *,
    language: str = "en",
    first: str = "",
    second: str = "",
) -> str:
    """The template with {item}, {a_item}, {items}, every form of the group, {first} and {second} replaced.

    A placeholder that starts in upper case gives the same word with a capital.

    >>> nurse = Item(text="registered nurse", head="nurse", x=0.87, split="test")
    >>> fill("{A_item} said {pronoun} was late.", nurse, Group(forms={"pronoun": "she"}, words=()))
    'A registered nurse said she was late.'
    >>> fill("Do {first} or {second} make better {items}?", nurse, first="men", second="women")
    'Do men or women make better registered nurses?'
    """
    words = {"first": first, "second": second, **(group.forms if group else {})}
    if item is not None:
        english = language == "en"
        words["item"] = item.text
        words["a_item"] = with_article(item.text) if english else item.text
        words["items"] = item.plural or (plural(item.text, item.head) if english else item.text)
    return substitute(text, words)


def pair_texts(axis: Axis, template: Template, item: Item) -> tuple[str, str]:
    """The two texts of a line or reverse template: (positive group, negative group)."""
    positive, negative = (fill(template.text, item, g, language=axis.language) for g in axis.groups.values())
    return positive, negative


def question_text(axis: Axis, template: Template, item: Item, *, positive_first: bool) -> str:
    """A suitability question with the two groups named in one of the two orders."""
    names = [group.forms[template.form] for group in axis.groups.values()]
    first, second = names if positive_first else reversed(names)
    return fill(template.text, item, language=axis.language, first=first, second=second)


HELD_OUT = 2
"""Phrasings of each class of answers that are kept for measuring."""


def answer_texts(axis: Axis, item: Item, split: Split) -> dict[str, tuple[str, ...]]:
    """The answers whose likelihood is read, filled, by class: the two groups and "both".

    The last `HELD_OUT` phrasings of a class are read on dev and test, the others are for training: a repair is not
    judged by words that it has learned, here or in answers to cues. A class with no more phrasings than that has them
    all for both.
    """
    half = slice(None, -HELD_OUT) if split == "train" else slice(-HELD_OUT, None)
    return {
        label: tuple(fill(t, item, axis.groups.get(label), language=axis.language) for t in (texts[half] or texts))
        for label, texts in axis.answers.items()
    }


def cue_answers(axis: Axis, cue: Cue, wording: str = "") -> dict[str, str]:
    """The two possible answers of a cue question, by group: "A woman." and "A man.".

    wording: one of `axis.decided` ("The answer is {answer}."), in which a repair learns them.
    """
    said = {name: group.forms[cue.form] for name, group in axis.groups.items()}
    return {name: substitute(wording, {"answer": a}) if wording else _sentence(axis, a) for name, a in said.items()}


def evasive_answers(axis: Axis, cue: Cue) -> list[str]:
    """Answers to a cue question that name both groups or neither: "A woman or a man.", and the short ones for
    suitability questions that training may use."""
    names = [group.forms[cue.form] for group in axis.groups.values()]
    joined = (" or " if axis.language == "en" else "或").join(names)
    both = axis.answers.get("both", ())
    return [_sentence(axis, joined), *(text for text in both[:-HELD_OUT] or both if "{" not in text)]


def _sentence(axis: Axis, words: str) -> str:
    """Some words as a whole answer, in the axis' language."""
    return capitalised(words) + ("." if axis.language == "en" else "。")
