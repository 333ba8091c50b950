"""What an engine is asked and what it answers: the whole surface between measuring and computing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Message = tuple[str, str]
"""One turn of a chat: (role, content)."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to generate. ``samples`` replies per request; ``temperature`` 0 is greedy decoding.

    ``seed`` makes each reply a function of (seed, prompt, sample number) and of nothing else: a request gives the
    same replies whatever it is batched with, so that an interrupted measurement can go on.
    """

    max_new_tokens: int = 48
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    samples: int = 1
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to compute.

    prompt: plain text, or the turns of a chat (the chat template and the opening of the assistant's turn are added).
    options: texts to score as continuations of the prompt (for `Engine.loglikelihood`).
    sampling: how to answer (for `Engine.generate`).
    """

    prompt: str | tuple[Message, ...]
    options: tuple[str, ...] = ()
    sampling: Sampling | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """The log-probability of one option given the prompt.

    logprob: nats, summed over the option's tokens. tokens: how many these are.
    """

    logprob: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one `Request`: one score per option, or one text per sample."""

    scores: tuple[Score, ...] = ()
    texts: tuple[str, ...] = ()


class Engine(Protocol):
    """Computes replies, in the order of the requests."""

    name: str

    def loglikelihood(self, requests: Sequence[Request]) -> list[Reply]:
        """Score every option of every request: exact log-probabilities in nats."""
        ...

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """Sample ``request.sampling.samples`` replies for every request."""
        ...

    def fingerprint(self) -> str:
        """What is being measured: a hash over weights, adapters and template, or an endpoint's own name."""
        ...
