"""`TransformersEngine`: exact scores and reproducible samples from a model in this process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chunfen.engines.base import Reply, Request, Score
from chunfen.engines.transformers.scoring import Progress, token_logprobs
from chunfen.engines.transformers.selfcheck import tree_refusal
from chunfen.engines.transformers.tokens import encode_options
from chunfen.errors import DataError

if TYPE_CHECKING:
    from chunfen.models.loading import LoadedModel


class TransformersEngine:
    """Computes with a loaded model; implements `chunfen.engines.base.Engine`.

    loaded: from `chunfen.models.loading.load_model`; its adapters are on, unless within `adapters_off`.
    batch_tokens: most tokens in one forward pass. progress: called with (done, total) tokens while computing.

    On creation the model is asked whether it can be given trees of texts. If not, `notice` says why, a
    warning is given, and scores are computed in plain batches: the same numbers, more slowly.
    """

    name = "transformers"

    def __init__(
        self, loaded: LoadedModel, *, batch_tokens: int = 4096, progress: Progress | None = None
    ) -> None:
        self.loaded = loaded
        self.batch_tokens = batch_tokens
        self.progress = progress
        self.notice = tree_refusal(loaded.model)
        self._adapters_on = True
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
                f"a text of {max(lengths)} tokens is longer than the {limit} that {self.loaded.spec.name} can "
                "read. Shorten the prompt or the option, or use a model with a longer context."
            )
