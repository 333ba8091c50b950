"""From the rows of a repair to token sequences with read positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunfen.data.packing import common_prefix
from chunfen.data.repair_row import RepairRow, Turns
from chunfen.engines.transformers.tokens import special_prefix, text_separator
from chunfen.models.templates import render
from chunfen.train.example import Text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A row and its texts, the chosen one first. number: its place among all rows."""

    row: RepairRow
    texts: tuple[Text, ...]
    number: int = 0


def encode_rows(
    rows: Sequence[RepairRow], tokenizer: PreTrainedTokenizerBase, *, system: str | None = None
) -> list[EncodedRow]:
    """Tokenize every text of every row, as the engine does that measures them."""
    before = special_prefix(tokenizer)
    return [
        EncodedRow(row, tuple(_encode(prompt, text, tokenizer, before, system) for prompt, text in row.texts()), number)
        for number, row in enumerate(rows)
    ]


def _encode(
    prompt: str | Turns, text: str, tokenizer: PreTrainedTokenizerBase, before: Sequence[int], system: str | None
) -> Text:
    """Tokenize a continuation together with its prompt, so that the border falls as it would in running text.

    A whole answer to a chat ends with the end-of-turn token: stopping is part of the answer. The continuation of an
    answer that has begun does not, for it is only the next words. before: what the tokenizer puts before running text.
    """
    if isinstance(prompt, str):
        return _continue(list(before), prompt, text, tokenizer)
    if prompt[-1][0] == "assistant":
        opening = render(tokenizer, prompt[:-1], system=system)
        return _continue(opening, prompt[-1][1], text, tokenizer)
    opening = render(tokenizer, prompt, system=system)
    answer = tokenizer(text, add_special_tokens=False)["input_ids"]
    return Text.ending((*opening, *answer, tokenizer.eos_token_id), len(opening))


def _continue(opening: list[int], before: str, text: str, tokenizer: PreTrainedTokenizerBase) -> Text:
    head = tokenizer(before, add_special_tokens=False)["input_ids"]
    whole = tokenizer(before + text, add_special_tokens=False)["input_ids"]
    if not opening and not head:
        # The first token has no predecessor: it is read after the token that begins (or separates) texts.
        opening = [text_separator(tokenizer)]
    return Text.ending((*opening, *whole), max(1, len(opening) + common_prefix(head, whole)))
