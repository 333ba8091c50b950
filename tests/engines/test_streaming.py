"""A streamed reply is the engine's reply, whole, piece by piece, and up to where it was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from chunfen.engines.base import Request, Sampling
from chunfen.engines.transformers import TransformersEngine
from chunfen.engines.transformers.streaming import Printer, penalized, stream
from chunfen.models.loading import LoadedModel, load_model

PROMPT = (("user", "hello who is a nurse ?"),)


@pytest.fixture(scope="module")
def loaded(tiny_model_dir: Path) -> LoadedModel:
    return load_model(str(tiny_model_dir))


def reply(loaded: LoadedModel, sampling: Sampling, **more: object) -> str:
    shown: list[str] = []
    printer = Printer(loaded.tokenizer, shown.append)
    stream(loaded, PROMPT, sampling, printer.add, **more)
    printer.end()
    assert "".join(shown) == printer.text
    return printer.text


@pytest.mark.parametrize("temperature", [0.0, 1.3])
def test_it_is_the_reply_that_the_engine_gives(loaded: LoadedModel, temperature: float) -> None:
    sampling = Sampling(max_new_tokens=20, temperature=temperature, top_p=0.95, samples=3)
    texts = TransformersEngine(loaded).generate([Request(PROMPT, sampling=sampling)])[0].texts
    assert [reply(loaded, sampling, sample=number) for number in range(3)] == list(texts)
    assert len(set(texts)) == (1 if temperature == 0 else 3)


def test_the_penalty_is_the_one_of_transformers_and_forbids_repetition_when_it_is_huge(loaded: LoadedModel) -> None:
    logits, seen = torch.randn(3, 15), torch.randint(15, (3, 6))
    theirs = RepetitionPenaltyLogitsProcessor(1.7)(seen, logits.clone())
    assert torch.equal(penalized(logits, seen, 1.7), theirs)
    greedy = Sampling(max_new_tokens=6, temperature=0.0)
    words = reply(loaded, greedy, repetition_penalty=1e9).split()
    assert len(words) == len(set(words)) and reply(loaded, greedy).split() != words


def test_what_was_said_before_an_interrupt_is_kept(loaded: LoadedModel) -> None:
    sampling = Sampling(max_new_tokens=9, temperature=0.0)
    whole = reply(loaded, sampling).split()
    printer = Printer(loaded.tokenizer, lambda part: None)

    def put(token: int) -> None:
        printer.add(token)
        if len(printer.tokens) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(loaded, PROMPT, sampling, put)
    assert printer.text.split() == whole[:4] and len(whole) > 4
    assert reply(loaded, sampling).split() == whole
