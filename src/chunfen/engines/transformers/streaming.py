"""One reply, token by token as it is chosen, for someone who reads along."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import TextStreamer

from chunfen.engines.base import Message, Sampling
from chunfen.engines.transformers.engine import stop_tokens
from chunfen.engines.transformers.generation import generate_plainly
from chunfen.engines.transformers.sampling import choose, uniforms
from chunfen.engines.transformers.tokens import encode_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from chunfen.models.loading import LoadedModel


def stream(
    loaded: LoadedModel,
    prompt: str | tuple[Message, ...],
    sampling: Sampling,
    put: Callable[[int], None],
    *,
    sample: int = 0,
    repetition_penalty: float = 1.0,
) -> None:
    """Hand over each token of a reply as soon as it is chosen, up to and without the one that ends it.

    The reply is number `sample` of those that `TransformersEngine.generate` gives to this prompt and seed. It may be
    interrupted at any time: what was put is what was said.
    """
    ids = encode_prompt(loaded.tokenizer, prompt, system=loaded.system)
    stop, seen = stop_tokens(loaded), list(ids)
    pick = partial(choose, temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p)

    def chosen(logits: Tensor, uniform: Tensor) -> Tensor:
        if repetition_penalty != 1:
            logits = penalized(logits, torch.tensor([seen], device=logits.device), repetition_penalty)
        tokens = pick(logits, uniform)
        seen.append(int(tokens))
        if seen[-1] not in stop:
            put(seen[-1])
        return tokens

    noise = uniforms(sampling.seed, prompt, sample, sampling.max_new_tokens)[None]
    generate_plainly(loaded.model, [ids], noise, chosen, stop=stop, batch_tokens=len(ids))


def penalized(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Logits [rows, vocabulary] with those of the tokens seen [rows, n] made smaller (Keskar et al. 2019).

    >>> penalized(torch.tensor([[2.0, -2.0, 1.0]]), torch.tensor([[0, 1, 1]]), 2.0).tolist()
    [[1.0, -4.0, 1.0]]
    """
    found = logits.gather(-1, seen)
    return logits.scatter(-1, seen, torch.where(found < 0, found * penalty, found / penalty))


class Printer(TextStreamer):
    """Shows tokens as text as soon as they make whole words, and remembers them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, show: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_special_tokens=True)
        self.tokens: list[int] = []
        self.show = show

    def add(self, token: int) -> None:
        """One more token of the reply."""
        self.tokens.append(token)
        self.put(torch.tensor([token]))  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """Show what is left, whether or not it makes a whole word."""
        super().end()  # type: ignore[no-untyped-call]

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Called by transformers with what can be shown."""
        if text:
            self.show(text)

    @property
    def text(self) -> str:
        """All of the reply so far."""
        return str(self.tokenizer.decode(self.tokens, skip_special_tokens=True))
