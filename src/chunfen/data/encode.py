"""From standard rows to tokens, each with whether training learns it. The tokenizer's own template is the truth.

A conversation is written by the template once, as a whole. Which part of the text an answer is follows from writing the
conversation up to the answer and up to its end: both must be beginnings of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from chunfen.data.row import Message, Row
from chunfen.errors import DataError
from chunfen.models.templates import require_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Learn = Literal["all", "last"]
"""Which answers of a conversation training learns; a message's own `loss` overrules it."""

Span = tuple[int, int]
"""First character and the one after the last."""


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
    behind it; of a conversation the answers, with the token that ends each. Raises DataError where the template writes
    an answer otherwise once more is said (some leave out earlier reasoning): learn "last" then.
    """
    if row.text:
        end = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
        ids = (*tokenizer(row.text)["input_ids"], *end)
        return Tokens(ids, tuple(n > 0 or token != tokenizer.bos_token_id for n, token in enumerate(ids)))
    text, spans = written(row, tokenizer, system=system, learn=learn)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    learned = [any(first <= a and b <= last and a < b for first, last in spans) for a, b in encoded["offset_mapping"]]
    return Tokens(tuple(encoded["input_ids"]), tuple(learned))


def written(
    row: Row, tokenizer: PreTrainedTokenizerBase, *, system: str | None = None, learn: Learn = "all"
) -> tuple[str, list[Span]]:
    """A conversation as the template writes it, and the answers in it that are learned."""
    require_template(tokenizer)
    messages = list(row.messages)
    if system is not None and messages[0].role != "system":
        messages.insert(0, Message("system", system))
    tools: Any = [dict(tool) for tool in row.tools] or None

    def write(turns: Sequence[Message], opened: bool = False) -> str:
        return str(
            tokenizer.apply_chat_template(
                [_turn(turn) for turn in turns],
                tools=tools,
                tokenize=False,
                add_generation_prompt=opened,
            )
        )

    whole, spans = write(messages), []
    for number, message in enumerate(messages):
        if message.role != "assistant" or not _is_learned(message, number == len(messages) - 1, learn):
            continue
        before, after = write(messages[:number], opened=True), write(messages[: number + 1])
        if not (whole.startswith(before) and whole.startswith(after) and len(before) < len(after)):
            raise DataError(
                f"the chat template of {tokenizer.name_or_path!r} writes message {number + 1} otherwise in the whole "
                "conversation than at its end, so it is not clear what to learn. Learn the last answer only, or make a "
                "row of each answer."
            )
        spans.append((len(before), _end(whole, len(before), len(after), str(tokenizer.eos_token))))
    return whole, spans


def _is_learned(message: Message, is_last: bool, learn: Learn) -> bool:
    return message.loss if message.loss is not None else is_last or learn == "all"


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [{"type": "function", "function": dict(call)} for call in message.tool_calls]
    return turn


def _end(text: str, first: int, last: int, eos: str) -> int:
    """Where an answer ends: behind the token that ends it, before the space that the template puts between turns.

    >>> _end("<a>Hi</a>\\n<u>", 3, 10, "</a>")
    9
    """
    answer = text[first:last]
    place = answer.rfind(eos)
    only_space = place >= 0 and not answer[place + len(eos) :].strip()
    return first + place + len(eos) if only_space else last
