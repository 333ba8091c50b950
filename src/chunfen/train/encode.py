"""From rows to token sequences with read positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunfen.data.rows import PreferenceRow, Turns, common_prefix
from chunfen.engines.transformers.tokens import special_prefix, text_separator
from chunfen.models.templates import render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class EncodedText:
    """ids: the whole sequence. start: the first position whose log-probability is read (never 0)."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A row and its texts, the chosen one first."""

    row: PreferenceRow
    texts: tuple[EncodedText, ...]


def encode_rows(
    rows: Sequence[PreferenceRow], tokenizer: PreTrainedTokenizerBase, *, system: str | None = None
) -> list[EncodedRow]:
    """Tokenize every text of every row, as the engine does that measures them."""
    before = special_prefix(tokenizer)
    return [
        EncodedRow(row, tuple(_encode(prompt, text, tokenizer, before, system) for prompt, text in row.texts()))
        for row in rows
    ]


def _encode(
    prompt: str | Turns, text: str, tokenizer: PreTrainedTokenizerBase, before: Sequence[int], system: str | None
) -> EncodedText:
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
    return EncodedText((*opening, *answer, tokenizer.eos_token_id), len(opening))


def _continue(opening: list[int], before: str, text: str, tokenizer: PreTrainedTokenizerBase) -> EncodedText:
    head = tokenizer(before, add_special_tokens=False)["input_ids"]
    whole = tokenizer(before + text, add_special_tokens=False)["input_ids"]
    if not opening and not head:
        # The first token has no predecessor: it is read after the token that begins (or separates) texts.
        opening = [text_separator(tokenizer)]
    return EncodedText((*opening, *whole), max(1, len(opening) + common_prefix(head, whole)))
