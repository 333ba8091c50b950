"""From requests to token sequences, with the border between prompt and option looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunfen.data.packing import common_prefix
from chunfen.engines.base import Message, Request
from chunfen.models.templates import require_template, turns_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class EncodedOption:
    """ids: tokens of prompt and option. start: position of the first token that is scored (≥ 1)."""

    ids: tuple[int, ...]
    start: int

    @property
    def reads(self) -> range:
        """The positions whose log-probabilities make the option's score."""
        return range(self.start, len(self.ids))


def encode_options(
    tokenizer: PreTrainedTokenizerBase, requests: Sequence[Request], *, system: str | None = None
) -> list[list[EncodedOption]]:
    """Every option of every request as a continuation of its prompt.

    Prompt and option are tokenized *together*, as in running text. Where the option's beginning changes how
    the prompt's end is cut into tokens (a prompt that ends in a space, for example), scoring starts at the
    first token in which any of the request's options differs from the prompt, so that all options are scored
    from the same place. A prompt without tokens is preceded by the token that begins texts (or, if there is
    none, the one that ends them).
    """
    prompts = [prompt_text(tokenizer, request.prompt, system=system) for request in requests]
    whole = [[text + option for option in r.options] for text, r in zip(prompts, requests, strict=True)]
    ids = _tokenize(tokenizer, [*prompts, *(text for texts in whole for text in texts)])
    opening = special_prefix(tokenizer)
    encoded = []
    for request, prompt, texts in zip(requests, prompts, whole, strict=True):
        before = opening if isinstance(request.prompt, str) else ()
        shared = min((common_prefix(ids[prompt], ids[text]) for text in texts), default=0)
        if not before and not shared:
            before = (text_separator(tokenizer),)
        start = len(before) + shared
        encoded.append([EncodedOption((*before, *ids[text]), start) for text in texts])
    return encoded


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, prompt: str | tuple[Message, ...], *, system: str | None = None
) -> list[int]:
    """The token ids after which a reply is generated; never empty."""
    text = prompt_text(tokenizer, prompt, system=system)
    before = special_prefix(tokenizer) if isinstance(prompt, str) else ()
    ids = [*before, *_tokenize(tokenizer, [text])[text]]
    return ids or [text_separator(tokenizer)]


def prompt_text(
    tokenizer: PreTrainedTokenizerBase, prompt: str | tuple[Message, ...], *, system: str | None = None
) -> str:
    """A prompt as text: itself, or the chat by the model's template with the assistant's turn opened.

    A last turn of the assistant is the beginning of an answer, which the model goes on with.
    """
    if isinstance(prompt, str):
        return prompt
    require_template(tokenizer)
    begun = prompt[-1][1] if prompt[-1][0] == "assistant" else None
    turns = turns_of(prompt if begun is None else prompt[:-1], system)
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return f"{text}{begun or ''}"


def special_prefix(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokens that this tokenizer puts before a text; for many chat models, none."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    dressed = tokenizer("a")["input_ids"]
    return tuple(dressed[: dressed.index(bare[0])]) if bare[0] in dressed else ()


def text_separator(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that begins texts, or else the one that ends them."""
    found = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return int(found)


def _tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> dict[str, list[int]]:
    """Token ids of each different text, without special tokens that the text does not hold."""
    different = list(dict.fromkeys(texts))
    if not different:
        return {}
    return dict(zip(different, tokenizer(different, add_special_tokens=False)["input_ids"], strict=True))
