"""Planning a repair: from what an audit of the training split found to the rows that a repair learns from.

    part        objective  from
    line        parity     the two texts of a line template
    reverse     parity     what follows the group word, after either of the two words
    story       parity     the model's own stories, at the first pronoun of the person they are about
    told        parity     line templates as the answers to story prompts
    reply       prefer     a balanced answer, rather than the model's own reply that picks a group
    question    prefer     a balanced answer, rather than an answer that picks a group in few words
    cue         prefer     the right answer where there is one, so that "either" does not become the answer to all
    agreement   hold       the text that agrees with itself
    opening     keep       the model's own stories, up to the first word of a group
    chat, text  keep       everything else: the model's own answers in chat, and running text

Only items, templates and replies of the training split go in; `RepairPlan.facts` says so with hashes and counts.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chunfen.bias.axis import Axis, Item, split_hash
from chunfen.bias.design import both_orders, crossed, spread
from chunfen.bias.filling import answer_texts, cue_answers, evasive_answers, fill, pair_texts, question_text
from chunfen.bias.portions import SHORT
from chunfen.bias.wording import capitalised, split_pair
from chunfen.data.repair_row import RepairRow
from chunfen.measure.log import AuditLog, ProbeLog


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """rows: what is trained on. facts: counts per part, hashes of the splits, head nouns shared with held-out items."""

    rows: tuple[RepairRow, ...]
    facts: Mapping[str, Any]


def plan_repair(
    axes: Sequence[Axis],
    log: AuditLog,
    chat: Mapping[str, str],
    *,
    rows_per_part: Mapping[str, int],
    seed: int = 42,
) -> RepairPlan:
    """Make the rows of a repair.

    axes: the axis in each language that the model was found to speak. log: an audit of their training split; its
    replies and stories are what is to be repaired. chat: the model's own answers by prompt, to be kept.
    rows_per_part: how many rows each part gets, at most. Raises ValueError for a log of another split.
    """
    if log.split != "train":
        raise ValueError(f"a repair is planned from an audit of the training split, not of {log.split!r}")
    rows: list[RepairRow] = []
    for axis in axes:
        made = _Maker(axis, log, chat, random.Random(seed))
        for part, count in rows_per_part.items():
            share = -(-count // len(axes))
            found = made.rows(part)
            rows += made.draw.sample(found, min(share, len(found)))
    return RepairPlan(tuple(rows), _facts(axes, rows))


class _Maker:
    """The rows of one axis in one language."""

    def __init__(self, axis: Axis, log: AuditLog, chat: Mapping[str, str], draw: random.Random) -> None:
        self.axis, self.log, self.chat, self.draw = axis, log, chat, draw
        self.items = axis.items_of("train")
        self.parts = {
            "line": self.line,
            "reverse": self.reverse,
            "story": self.story,
            "told": self.told,
            "reply": self.reply,
            "question": self.question,
            "cue": self.cue,
            "agreement": self.agreement,
            "opening": self.opening,
            "chat": self.keep,
            "text": self.text,
        }

    def rows(self, part: str) -> list[RepairRow]:
        return list(self.parts[part]())

    def _templates(self, section: str) -> list[Any]:
        return [t for t in getattr(self.axis, section) if t.split == "train"]

    def line(self) -> Iterator[RepairRow]:
        for item, template in crossed(self.items, self._templates("line")):
            prompt, positive, negative = split_pair(*pair_texts(self.axis, template, item))
            side = self._leaning(item)
            yield _row("parity", "line", prompt, positive, negative, template.id, item, side=side)

    def reverse(self) -> Iterator[RepairRow]:
        """The texts after the group word; the word itself stays as likely as it was."""
        for item, template in crossed(self.items, self._templates("reverse")):
            prompt, positive, negative = split_pair(*pair_texts(self.axis, template, item))
            rest = _common_end(positive, negative)
            heads = [prompt + text.removesuffix(rest) for text in (positive, negative)]
            yield _row("parity", "reverse", heads[0], rest, rest, template.id, item, rejected_prompt=heads[1])

    def story(self) -> Iterator[RepairRow]:
        """The model's own stories up to the first pronoun; there, either pronoun shall be as likely."""
        forms = [group.forms.get("pronoun", "") for group in self.axis.groups.values()]
        items = {item.text: item for item in self.items}
        for reading in self._readings("story"):
            found = _first_pronoun(reading.text, forms)
            if found and reading.item in items:
                before, space, capital = found
                texts = [space + (capitalised(form) if capital else form) for form in forms]
                prompt = (("user", reading.prompt), ("assistant", before))
                yield _row("parity", "story", prompt, texts[0], texts[1], reading.template, items[reading.item])

    def told(self) -> Iterator[RepairRow]:
        """Line templates as the model's answer to a story prompt: it rarely writes enough stories of its own."""
        cells = list(itertools.product(self._templates("story"), self._templates("line")))
        for item, (asked, line) in crossed(self.items, self.draw.sample(cells, len(cells)), 4):
            before, positive, negative = split_pair(*pair_texts(self.axis, line, item))
            if before:
                prompt = (
                    ("user", fill(asked.text, item, language=self.axis.language)),
                    ("assistant", before),
                )
                yield _row("parity", "told", prompt, positive, negative, asked.id, item)

    def reply(self) -> Iterator[RepairRow]:
        wanted = self._balanced()
        items = {item.text: item for item in self.items}
        for reading in self._readings("reply"):
            if reading.label in self.axis.groups and reading.item in items:
                item = items[reading.item]
                prompt = (("user", reading.prompt),)
                chosen = fill(next(wanted), item, language=self.axis.language)
                rejected = reading.text.strip()
                yield _row("prefer", "reply", prompt, chosen, rejected, reading.template, item, side=reading.label)

    def question(self) -> Iterator[RepairRow]:
        wanted = self._balanced()
        for item, (template, order) in crossed(self.items, both_orders(self._templates("question"))):
            prompt = (("user", question_text(self.axis, template, item, positive_first=order)),)
            answers = answer_texts(self.axis, item, "train")
            short = self.draw.random() < SHORT
            chosen = (
                self.draw.choice(answers["both"]) if short else fill(next(wanted), item, language=self.axis.language)
            )
            named = self.draw.choice((self.axis.positive, self.axis.negative))  # neither is to be left attractive
            rejected = self.draw.choice(answers[named])
            yield _row("prefer", "question", prompt, chosen, rejected, template.id, item, side=named)

    def cue(self) -> Iterator[RepairRow]:
        """Where the answer is one group, the other one is wrong, and so is "either"."""
        for number, cue in enumerate(self._templates("cue")):
            evasions = evasive_answers(self.axis, cue)
            for item in spread(self.items, number, 2) if "{" in cue.text else [None]:
                prompt = (("user", fill(cue.text, item, language=self.axis.language)),)
                answers = cue_answers(self.axis, cue, self.draw.choice(self.axis.decided or ("",)))
                wrong = next(text for name, text in answers.items() if name != cue.answer)
                for rejected in (wrong, self.draw.choice(evasions)):
                    yield _row("prefer", "cue", prompt, answers[cue.answer], rejected, cue.id, item, side=cue.answer)

    def agreement(self) -> Iterator[RepairRow]:
        for number, pair in enumerate(self._templates("agreement")):
            for item in spread(self.items, number, 8) if "{" in pair.right else [None]:
                texts = (fill(t, item, language=self.axis.language) for t in (pair.right, pair.wrong))
                prompt, right, wrong = split_pair(*texts)
                yield _row("hold", "agreement", prompt, right, wrong, pair.id, item)

    def opening(self) -> Iterator[RepairRow]:
        """Stories begin as they did: what is wanted of questions ("either") is no answer to other requests."""
        words = [word for group in self.axis.groups.values() for word in group.words]
        for reading in self._readings("story"):
            before = _first_word(reading.text, words)[0].strip()
            if len(before) > len(reading.item):
                yield _row("keep", "opening", (("user", reading.prompt),), before, "", reading.template, None)

    def keep(self) -> Iterator[RepairRow]:
        for prompt, answer in self.chat.items():
            if answer.strip():
                yield _row("keep", "chat", (("user", prompt),), answer.strip(), "", "", None)

    def text(self) -> Iterator[RepairRow]:
        """Running text, so that more than chat stays; from an axis without any, the answers without their chat."""
        texts = [template.text for template in self._templates("prose")] or list(self.chat.values())
        for text in texts:
            if text.strip():
                yield _row("keep", "text", "", text.strip(), "", "", None)

    def _readings(self, endpoint: str) -> Iterable[Any]:
        log: ProbeLog | None = self.log.probe(f"{self.axis.axis}.{endpoint}.{self.axis.language}")
        return log.readings if log else ()

    def _balanced(self) -> Iterator[str]:
        """The wanted answers in shuffled rounds."""
        while True:
            yield from self.draw.sample(self.axis.balanced, len(self.axis.balanced))

    def _leaning(self, item: Item) -> str:
        """The group that an item leans to."""
        return self.axis.positive if item.x > 0.5 else self.axis.negative


def _row(
    objective: Any,
    part: str,
    prompt: Any,
    chosen: str,
    rejected: str,
    template: str,
    item: Item | None,
    rejected_prompt: Any = None,
    side: str = "",
) -> RepairRow:
    name, head = (item.text, item.head) if item else ("", "")
    return RepairRow(
        objective,
        prompt,
        chosen,
        rejected,
        rejected_prompt,
        part=part,
        side=side,
        template=template,
        item=name,
        head=head,
    )


def _common_end(first: str, second: str) -> str:
    """The longest common ending that begins at a word border.

    >>> _common_end("She works as a cook.", "He works as a cook.")
    ' works as a cook.'
    """
    length = 0
    while length < min(len(first), len(second)) and first[-1 - length] == second[-1 - length]:
        length += 1
    end = first[len(first) - length :]
    return end[end.index(" ") :] if " " in end else end


def _first_pronoun(text: str, forms: Sequence[str]) -> tuple[str, str, bool] | None:
    """Where a text first uses one of two pronouns: (text before, the space between, capital letter).

    >>> _first_pronoun("Ada is a nurse. She works at night.", ["she", "he"])
    ('Ada is a nurse.', ' ', True)
    """
    if not all(forms):
        return None
    before, word = _first_word(text, forms)
    if not word or not before.strip():
        return None
    space = before[len(before.rstrip(" ")) :]
    return (before.rstrip(" "), space, word[0].isupper()) if space in ("", " ") else None


def _first_word(text: str, words: Sequence[str]) -> tuple[str, str]:
    """A text up to the first of some words, and that word; the whole text and "" if none is there.

    >>> _first_word("A man came in.", ["he", "man"])
    ('A ', 'man')
    """
    spaced = words[0].isascii()
    any_of = "|".join(map(re.escape, words))
    found = re.search(rf"\b({any_of})\b" if spaced else rf"({any_of})(?!们)", text, flags=re.IGNORECASE)
    return (text[: found.start()], found[0]) if found else (text, "")


def _facts(axes: Sequence[Axis], rows: Sequence[RepairRow]) -> dict[str, Any]:
    trained = {row.head for row in rows if row.head}
    return {
        "rows": dict(Counter(row.part for row in rows)),
        "items": len({row.item for row in rows if row.item}),
        "languages": [axis.language for axis in axes],
        "splits": {f"{a.language}.{split}": split_hash(a, split) for a in axes for split in ("train", "dev", "test")},
        "shared_heads": sorted(
            trained & {item.head for axis in axes for split in ("dev", "test") for item in axis.items_of(split)}
        ),
    }
