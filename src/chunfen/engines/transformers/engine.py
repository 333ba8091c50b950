"""`TransformersEngine`: exact scores and reproducible samples from a model in this process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from chunfen.engines.base import Message, Reply, Request, Sampling, Score
from chunfen.engines.transformers.generation import generate_plainly, generate_tokens
from chunfen.engines.transformers.sampling import choose, uniforms
from chunfen.engines.transformers.scoring import Progress, token_logprobs
from chunfen.engines.transformers.selfcheck import tree_refusal
from chunfen.engines.transformers.tokens import encode_options, encode_prompt
from chunfen.errors import DataError

if TYPE_CHECKING:
    from chunfen.models.loading import LoadedModel

Prompt = str | tuple[Message, ...]

GREEDY = Sampling(temperature=0.0)

CACHED_TOKENS = 4
"""Keys and values are kept for this many times ``batch_tokens`` while generating."""


class TransformersEngine:
    """Computes with a loaded model; implements `chunfen.engines.base.Engine`.

    loaded: from `chunfen.models.loading.load_model`; its adapters are on, unless within `adapters_off`.
    batch_tokens: most tokens in one forward pass. progress: called with (done, total) tokens while computing.

    On creation the model is asked whether it can be given trees of texts. If not, `notice` says why, a
    warning is given, and scores are computed in plain batches: the same numbers, more slowly.
    """

    name = "transformers"

    def __init__(self, loaded: LoadedModel, *, batch_tokens: int = 4096, progress: Progress | None = None) -> None:
        self.loaded = loaded
        self.batch_tokens = batch_tokens
        self.progress = progress
        self.notice = tree_refusal(loaded.model)
        self._adapters_on = True
        self._stop = stop_tokens(loaded)
        if self.notice:
            warnings.warn(
                f"{loaded.spec.name}: {self.notice}; scoring in plain batches, which is exact but slower.",
                stacklevel=2,
            )

    def loglikelihood(self, requests: Sequence[Request]) -> list[Reply]:
        """Score every option of every request; see `tokens.encode_options` for where an option begins.

        Raises DataError for a text that is longer than the model's context.
        """
        encoded = encode_options(self.loaded.tokenizer, requests, system=self.loaded.system)
        flat = [option for options in encoded for option in options]
        self._check_lengths([len(option.ids) for option in flat])
        values = token_logprobs(
            self.loaded.model,
            [option.ids for option in flat],
            [option.reads for option in flat],
            tree=not self.notice,
            batch_tokens=self.batch_tokens,
            progress=self.progress,
        )
        scores = iter([Score(float(v.sum(dtype="float64")), len(v)) for v in values])
        return [Reply(scores=tuple(next(scores) for _ in options)) for options in encoded]

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """Sample ``request.sampling.samples`` replies (default: one, greedy) for every request.

        A reply is a function of (seed, prompt, sample number): its random numbers come from a hash of these.
        What it is batched with changes its logits by rounding only (some 1e-6), which turns a choice about
        once in 1e5 tokens in fp32, and more often in bf16. Raises DataError where prompt and reply exceed the
        context.
        """
        wanted = [(r.prompt, r.sampling or GREEDY) for r in requests]
        texts: dict[tuple[Prompt, Sampling, int], str] = {}
        for sampling in dict.fromkeys(sampling for _, sampling in wanted):
            prompts = list(dict.fromkeys(prompt for prompt, s in wanted if s == sampling))
            samples = 1 if sampling.temperature == 0 else sampling.samples  # greedy replies are all the same
            jobs = [(prompt, sample) for prompt in prompts for sample in range(samples)]
            for job, text in zip(jobs, self._generate(jobs, sampling), strict=True):
                texts[job[0], sampling, job[1]] = text
        return [
            Reply(texts=tuple(texts[p, s, 0 if s.temperature == 0 else k] for k in range(s.samples))) for p, s in wanted
        ]

    def _generate(self, jobs: Sequence[tuple[Prompt, int]], sampling: Sampling) -> list[str]:
        """The text of every (prompt, sample number), in batches of neighbours: prompts that begin alike."""
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        encoded = {p: encode_prompt(tokenizer, p, system=self.loaded.system) for p in {p for p, _ in jobs}}
        new = sampling.max_new_tokens
        self._check_lengths([len(ids) + new for ids in encoded.values()])
        order = sorted(range(len(jobs)), key=lambda k: encoded[jobs[k][0]])
        size = max(1, CACHED_TOKENS * self.batch_tokens // (max(map(len, encoded.values()), default=0) + new))
        write = generate_plainly if self.notice else generate_tokens
        texts = [""] * len(jobs)
        for first in range(0, len(order), size):
            part = order[first : first + size]
            replies = write(
                model,
                [encoded[jobs[k][0]] for k in part],
                np.stack([uniforms(sampling.seed, jobs[k][0], jobs[k][1], new) for k in part]),
                partial(choose, temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p),
                stop=self._stop,
                batch_tokens=self.batch_tokens,
            )
            for k, reply in zip(part, replies, strict=True):
                texts[k] = str(tokenizer.decode(reply, skip_special_tokens=True))
            if self.progress:
                self.progress(first + len(part), len(order))
        return texts

    @contextmanager
    def adapters_off(self) -> Iterator[None]:
        """Within this, the base model answers. Without adapters nothing changes."""
        disable = getattr(self.loaded.model, "disable_adapter", None)
        if disable is None:
            yield
            return
        with disable():
            self._adapters_on = False
            try:
                yield
            finally:
                self._adapters_on = True

    def fingerprint(self) -> str:
        """The loaded model's, marked where its adapters are off."""
        return self.loaded.fingerprint + ("" if self._adapters_on else "-adapters-off")

    def _check_lengths(self, lengths: Sequence[int]) -> None:
        limit = getattr(self.loaded.model.config.get_text_config(), "max_position_embeddings", None)
        if limit and lengths and max(lengths) > limit:
            raise DataError(
                f"a text of {max(lengths)} tokens is longer than the {limit} that {self.loaded.spec.name} "
                "can read. Shorten the prompt or the option, or use a model with a longer context."
            )


def stop_tokens(loaded: LoadedModel) -> frozenset[int]:
    """The tokens that end a reply: the model's own and the tokenizer's."""
    listed = loaded.model.generation_config.eos_token_id
    several = listed if isinstance(listed, list) else [listed]
    return frozenset(token for token in (*several, loaded.tokenizer.eos_token_id) if token is not None)
