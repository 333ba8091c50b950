"""From standard rows to tokens, each with whether training learns it. The tokenizer's own template is the truth.

A conversation is written by the template once, as a whole. What of the text are answers the template says itself, if it
marks them ({% generation %}). If not, it follows from writing parts of the conversation: an answer begins where the
conversation up to it ends, with the answer's turn opened, and ends where the conversation with it ends, or where what
follows begins. Whatever cannot be told exactly is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from chunfen.data.row import Message, Row
from chunfen.errors import DataError
from chunfen.models.templates import Turn, is_token, marked, marks_answers, with_system, write

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Learn = Literal["all", "last"]
"""Which answers of a conversation training learns; a message's own `loss` overrules it."""

Span = tuple[int, int]
"""First character and the one after the last."""

PLACEHOLDER = "\ue000"
"""Stands for an answer while it is looked for what a template writes behind it; for private use in Unicode."""


TOKEN = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")
"""What tokens look like that begin or end turns."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """ids: the tokens of a row. learned: for each, whether training learns to predict it."""

    ids: tuple[int, ...]
    learned: tuple[bool, ...]


def encode_row(
    row: Row, tokenizer: PreTrainedTokenizerBase, *, system: str | None = None, learn: Learn = "all"
) -> Tokens:
    """The tokens of a row's text or conversation.

    system: a system prompt for conversations that bring none. Running text is learned whole, with the end-of-text token
    behind it; of a conversation the answers, with the token that ends each. Raises DataError where the template leaves
    out a part of an answer once more is said (as some do with earlier reasoning): learn "last" then.
    """
    if row.text:
        end = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
        ids = (*tokenizer(row.text)["input_ids"], *end)
        return Tokens(ids, tuple(n > 0 or token != tokenizer.bos_token_id for n, token in enumerate(ids)))
    text, spans = written(row, tokenizer, system=system, learn=learn)
    return _tokens(text, spans, tokenizer) if tokenizer.is_fast else _tokens_by_prefixes(text, spans, tokenizer)


def written(
    row: Row, tokenizer: PreTrainedTokenizerBase, *, system: str | None = None, learn: Learn = "all"
) -> tuple[str, list[Span]]:
    """A conversation as the template writes it, and the answers in it that are learned."""
    turns = with_system([_turn(message) for message in row.messages], system)
    added, last = len(turns) - len(row.messages), len(row.messages) - 1
    wanted = [n + added for n, message in enumerate(row.messages) if _is_learned(message, n == last, learn)]
    text = write(tokenizer, turns, tools=row.tools)
    answers = _marked(turns, row.tools, tokenizer) if marks_answers(tokenizer) else {}
    if not answers:
        answers = {number: _found(turns, number, text, row.tools, tokenizer) for number in wanted}
    return text, [(first, _end(text, first, last, tokenizer)) for first, last in (answers[number] for number in wanted)]


def _is_learned(message: Message, is_last: bool, learn: Learn) -> bool:
    if message.role != "assistant":
        return False
    return message.loss if message.loss is not None else is_last or learn == "all"


def _turn(message: Message) -> Turn:
    turn: Turn = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [{"type": "function", "function": dict(call)} for call in message.tool_calls]
    return turn


def _marked(turns: Sequence[Turn], tools: Any, tokenizer: PreTrainedTokenizerBase) -> dict[int, Span]:
    """Number of turn → answer, as the template marks them. Empty if it does not mark each answer once."""
    spans = marked(tokenizer, turns, tools=tools)
    numbers = [number for number, turn in enumerate(turns) if turn["role"] == "assistant"]
    return dict(zip(numbers, spans, strict=True)) if len(spans) == len(numbers) else {}


def _found(turns: Sequence[Turn], number: int, whole: str, tools: Any, tokenizer: PreTrainedTokenizerBase) -> Span:
    """Where an answer is in a conversation, by writing parts of it."""
    before = write(tokenizer, turns[:number], tools=tools, add_generation_prompt=True)
    after = write(tokenizer, turns[: number + 1], tools=tools)
    if whole.startswith(before) and whole.startswith(after) and len(before) < len(after):
        return len(before), len(after)
    calls = turns[number].get("tool_calls", ())
    first, last = _overlap(before, after, whole) if calls else _around(turns, number, whole, before, tools, tokenizer)
    said = [turns[number]["content"].strip(), *(call["function"]["name"] for call in calls)]
    if first < last and all(part in whole[first:last] for part in said):
        return first, last
    raise DataError(
        f"the chat template of {tokenizer.name_or_path!r} writes answer {_ordinal(turns, number)} otherwise in the "
        "whole conversation than at its end, so it is not clear what to learn. Learn the last answer only, or make a "
        "row of each answer."
    )


def _around(
    turns: Sequence[Turn], number: int, whole: str, before: str, tools: Any, tokenizer: PreTrainedTokenizerBase
) -> Span:
    """Where an answer is that is written otherwise once more is said, or that does not begin as the template opens it.

    The conversation is written again with a character in the answer's place: the answer stands between what is in front
    of that and what is behind it. What is behind it in any case is the token that ends the answer. (0, 0) where that
    cannot be told.
    """
    instead = [*turns[:number], {"role": "assistant", "content": PLACEHOLDER}]
    head, there, rest = write(tokenizer, [*instead, *turns[number + 1 :]], tools=tools).partition(PLACEHOLDER)
    behind = write(tokenizer, instead, tools=tools).partition(PLACEHOLDER)[2]
    opening = before if whole.startswith(before) else head  # some open reasoning that an answer need not have
    if not (there and before.startswith(opening) and whole.startswith(opening) and whole.endswith(rest)):
        return 0, 0
    end = TOKEN.match(behind)
    return len(opening), len(whole) - len(rest) + (len(end[0]) if end and rest.startswith(end[0]) else 0)


def _overlap(before: str, after: str, whole: str) -> Span:
    """Where an answer is of which the beginning is left out once more is said. (0, 0) where that cannot be told.

    >>> _overlap("<a>", "<a><think></think>Hi.<end>", "<a>Hi.<end><u>Bye")
    (3, 11)
    """
    if not (whole.startswith(before) and after.startswith(before)):
        return 0, 0
    there = whole[len(before) :]
    same = next(n for n in range(len(before), len(after) + 1) if there.startswith(after[n:]))
    return len(before), len(before) + len(after) - same


def _ordinal(turns: Sequence[Turn], number: int) -> int:
    """Which answer of the conversation a turn is, from 1."""
    return sum(turn["role"] == "assistant" for turn in turns[: number + 1])


def _end(text: str, first: int, last: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """Where an answer ends: behind the token that ends it, before the space that the template puts between turns."""
    answer = text[first:last].rstrip()
    token = answer[max(answer.rfind("<"), answer.rfind("[")) :]
    if answer.endswith(tokenizer.eos_token or PLACEHOLDER) or (TOKEN.fullmatch(token) and is_token(tokenizer, token)):
        return first + len(answer)
    return last


def _tokens(text: str, spans: Sequence[Span], tokenizer: PreTrainedTokenizerBase) -> Tokens:
    """Learned is a token that begins in an answer."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    begins = [place if place < end else None for place, end in encoded["offset_mapping"]]
    learned = (place is not None and any(first <= place < last for first, last in spans) for place in begins)
    return Tokens(tuple(encoded["input_ids"]), tuple(learned))


def _tokens_by_prefixes(text: str, spans: Sequence[Span], tokenizer: PreTrainedTokenizerBase) -> Tokens:
    """The same for a tokenizer in Python, which does not say where its tokens stand.

    The tokens of the text up to a border must be the first ones of the whole.
    """
    ids = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    learned = [False] * len(ids)
    for span in spans:
        first, last = (_count(text[:place], ids, tokenizer) for place in span)
        learned[first:last] = [True] * (last - first)
    return Tokens(ids, tuple(learned))


def _count(text: str, ids: tuple[int, ...], tokenizer: PreTrainedTokenizerBase) -> int:
    before = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    if ids[: len(before)] != before:
        raise DataError(
            f"the tokenizer of {tokenizer.name_or_path!r} makes one token of the end of an answer and what follows, or "
            "of its beginning and what comes before, and cannot say where its tokens stand. Give another template "
            "(--template)."
        )
    return len(before)
