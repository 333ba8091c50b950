"""Sampling draws from the right distribution, and from nothing but its own seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from chunfen.engines.transformers.sampling import choose, uniforms

DRAWS = 20_000


def draws(logits: torch.Tensor, **settings) -> np.ndarray:
    uniform = torch.from_numpy(uniforms(1, "draws", 0, DRAWS))
    chosen = choose(logits.expand(DRAWS, -1), uniform, **settings)
    return np.bincount(chosen.numpy(), minlength=logits.shape[-1])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.6},
        {"temperature": 1.7, "top_k": 7},
        {"top_p": 0.8},
        {"temperature": 1.5, "top_k": 20, "top_p": 0.5},
    ],
    ids=str,
)
def test_frequencies_are_those_that_transformers_would_sample_from(settings):
    torch.manual_seed(0)
    logits = torch.randn(1, 30) * 2
    expected = TemperatureLogitsWarper(settings.get("temperature", 1.0))(None, logits)
    if settings.get("top_k"):
        expected = TopKLogitsWarper(settings["top_k"])(None, expected)
    expected = TopPLogitsWarper(settings.get("top_p", 1.0))(None, expected).softmax(-1)[0].numpy()
    found = draws(logits, **settings)
    possible = expected > 0
    assert found[~possible].sum() == 0
    expected = expected[possible].astype(np.float64)
    assert chisquare(found[possible], expected / expected.sum() * DRAWS).pvalue > 1e-3


def test_a_nucleus_wider_than_the_first_look_is_found_exactly():
    logits = torch.zeros(2, 3000)
    logits[0, :5] = 9.0
    logits += torch.linspace(0, 1e-3, 3000)  # no ties
    found = choose(logits, torch.tensor([0.0, 0.0]), top_p=0.5)
    kept = TopPLogitsWarper(0.5)(None, logits)
    assert found.tolist() == [row.isfinite().nonzero()[0].item() for row in kept]


def test_temperature_zero_is_the_likeliest_token_whatever_the_numbers():
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    assert [choose(logits, torch.tensor([u]), temperature=0).item() for u in (0.0, 0.999)] == [1, 1]


def test_a_token_without_probability_is_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    for u in (0.0, 0.5, np.nextafter(1, 0)):
        assert choose(logits, torch.tensor([u], dtype=torch.float64)).item() == 1


@pytest.mark.parametrize("vocabulary", [1, 255, 256, 257, 1000])
def test_a_large_vocabulary_is_inverted_like_a_small_one(vocabulary):
    """Against the plain sum over all tokens, with most of them ruled out."""
    logits = torch.randn(300, vocabulary, generator=torch.Generator().manual_seed(0)) * 4
    logits[:, 1::2] = -torch.inf
    uniform = torch.from_numpy(uniforms(1, "inversion", 0, 300))
    uniform[:2] = torch.tensor([0.0, np.nextafter(1, 0)])
    cumulative = logits.softmax(-1).double().cumsum(-1)
    plain = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(-1)
    found = choose(logits, uniform)
    assert (found % 2 == 0).all()
    assert torch.equal(found[2:], plain[2:])


def test_random_numbers_belong_to_seed_prompt_and_sample():
    chat = (("user", "Hi"),)
    all_different = [
        uniforms(seed, prompt, sample, 4).tobytes()
        for seed in (1, 2)
        for prompt in ("Hi", "Hi ", chat)
        for sample in (0, 1)
    ]
    assert len(set(all_different)) == len(all_different)
    assert uniforms(1, chat, 0, 4).tobytes() == uniforms(1, [["user", "Hi"]], 0, 4).tobytes()
