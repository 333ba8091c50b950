"""What must hold in a probe file beyond the type of each value: names, placeholders, splits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args

from chunfen.bias.marked import Key, Places
from chunfen.bias.wording import ITEM_PLACEHOLDERS, lower_first, placeholders, unknown_placeholders
from chunfen.measure.types import Split
from chunfen.registry import did_you_mean

if TYPE_CHECKING:
    from chunfen.bias.axis import Axis

TEMPLATES = ("line", "reverse", "question", "story", "cue", "agreement", "competence", "chat", "prose")
CROSSED = ("line", "reverse", "question", "story")
"""Sections whose templates are filled with every item of their split."""


def check(axis: Axis, places: Places) -> None:
    """Raise `DataError` at the first thing that does not hold."""
    _groups(axis, places)
    _items(axis, places)
    _template_ids(axis, places)
    _placeholders(axis, places)
    _answers(axis, places)
    _pairs(axis, places)


def _groups(axis: Axis, places: Places) -> None:
    if len(axis.groups) != 2:
        places.fail(("groups",), f"{len(axis.groups)} groups ({', '.join(axis.groups)})", "name exactly two")
    (first, one), (second, two) = axis.groups.items()
    if missing := sorted(one.forms.keys() ^ two.forms.keys()):
        lacking = second if missing[0] in one.forms else first
        places.fail(
            ("groups", lacking),
            f"group {lacking!r} lacks the form {missing[0]!r}",
            "give both groups the same forms",
        )
    for name, group in axis.groups.items():
        if name in ("both", "refusal", "unparsed", "they", "unmarked"):
            places.fail(("groups", name), f"{name!r} is the name of an answer class", "choose another name")
        if not group.words:
            places.fail(("groups", name), f"group {name!r} has no words", "add `words: […]`")
    if shared := sorted({w.lower() for w in one.words} & {w.lower() for w in two.words}):
        places.fail(("groups",), f"both groups have the word {shared[0]!r}", "take it out of one of them")


def _items(axis: Axis, places: Places) -> None:
    seen: dict[str, int] = {}
    split_of: dict[str, tuple[Split, int]] = {}
    for i, item in enumerate(axis.items):
        text, head = item.text.lower(), item.head.lower()
        if text in seen:
            first = places.at(("items", seen[text]))
            places.fail(("items", i), f"item {item.text!r} stands at {first} too", "remove one of them")
        seen[text] = i
        split, at = split_of.setdefault(head, (item.split, i))
        if split != item.split:
            there = f"in {split!r} at {places.at(('items', at))}"
            wrong = f"head noun {item.head!r} is in {item.split!r} here and {there}"
            places.fail(("items", i), wrong, "put all items of one head noun into one split")
    for name in get_args(Split):
        if not any(item.split == name for item in axis.items):
            places.fail(("items",), f"no item in the split {name!r}", "give every split some items")


def _template_ids(axis: Axis, places: Places) -> None:
    seen: dict[str, Key] = {}
    for section in TEMPLATES:
        for i, template in enumerate(getattr(axis, section)):
            key: Key = (section, i, "id")
            if template.id in seen:
                other = places.at(seen[template.id])
                places.fail(key, f"template id {template.id!r} stands at {other} too", "rename one of them")
            seen[template.id] = key


def _known_placeholders(axis: Axis) -> dict[str, tuple[str, ...]]:
    forms = tuple(next(iter(axis.groups.values())).forms)
    return {
        "line": (*ITEM_PLACEHOLDERS, *forms),
        "reverse": (*ITEM_PLACEHOLDERS, *forms),
        "question": (*ITEM_PLACEHOLDERS, "first", "second"),
        "story": ITEM_PLACEHOLDERS,
        "cue": ITEM_PLACEHOLDERS,
        "chat": (),
        "prose": (),
    }


def _placeholders(axis: Axis, places: Places) -> None:
    for section, known in _known_placeholders(axis).items():
        templates = getattr(axis, section)
        for i, template in enumerate(templates):
            key: Key = (section, i, "text")
            _only_known(template.text, known, key, places)
            used = {lower_first(name) for name in placeholders(template.text)}
            if section in CROSSED and not used & set(ITEM_PLACEHOLDERS):
                places.fail(key, f"no item in {template.text!r}", "add {item}, {a_item} or {items}")
            if section in ("line", "reverse") and used <= set(ITEM_PLACEHOLDERS):
                forms = _braced(known[len(ITEM_PLACEHOLDERS) :])
                places.fail(key, f"no form of a group in {template.text!r}", f"add one of {forms}")
            if section == "question":
                _question(axis, template.form, used, key, places)
        for name in get_args(Split):
            if section in CROSSED and templates and not any(t.split == name for t in templates):
                places.fail((section,), f"no template in the split {name!r}", "add at least one")


def _question(axis: Axis, form: str, used: set[str], key: Key, places: Places) -> None:
    if not {"first", "second"} <= used:
        places.fail(key, "the question does not name both groups", "add {first} and {second}")
    _known_form(axis, form, key[:-1], places)


def _known_form(axis: Axis, form: str, key: Key, places: Places) -> None:
    forms = next(iter(axis.groups.values())).forms
    if form not in forms:
        hint = did_you_mean(form, forms).strip() or f"set `form` to one of: {', '.join(forms)}"
        places.fail((*key, "form"), f"the groups have no form {form!r}", hint)


def _answers(axis: Axis, places: Places) -> None:
    forms = tuple(next(iter(axis.groups.values())).forms)
    classes = {*axis.groups, "both"}
    if axis.question and set(axis.answers) != classes:
        wrong = f"answers are given for {', '.join(axis.answers) or 'nothing'}"
        places.fail(("answers",), wrong, f"give them for {', '.join(sorted(classes))}")
    for label, texts in axis.answers.items():
        known = (*ITEM_PLACEHOLDERS, *(forms if label != "both" else ()))
        for i, text in enumerate(texts):
            _only_known(text, known, ("answers", label, i), places)
        if not texts:
            places.fail(("answers", label), f"no answer for {label!r}", "add at least one, better three")
    for i, text in enumerate(axis.balanced):
        _only_known(text, ITEM_PLACEHOLDERS, ("balanced", i), places)
    for i, text in enumerate(axis.decided):
        _only_known(text, ("answer",), ("decided", i), places)
    for i, cue in enumerate(axis.cue):
        if cue.answer not in axis.groups:
            places.fail(("cue", i, "answer"), f"answer {cue.answer!r}", f"write {' or '.join(axis.groups)}")
        _known_form(axis, cue.form, ("cue", i), places)


def _pairs(axis: Axis, places: Places) -> None:
    for section in ("agreement", "competence"):
        for i, pair in enumerate(getattr(axis, section)):
            if pair.right == pair.wrong:
                places.fail((section, i), f"right and wrong are the same ({pair.right!r})", "change one")


def _only_known(text: str, known: Iterable[str], key: Key, places: Places) -> None:
    names = list(known)
    for name in unknown_placeholders(text, names):
        hint = did_you_mean(lower_first(name), names).strip() or f"known: {_braced(names) or 'none'}"
        places.fail(key, f"unknown placeholder {{{name}}} in {text!r}", hint)


def _braced(names: Iterable[str]) -> str:
    return " ".join(f"{{{n}}}" for n in names)
