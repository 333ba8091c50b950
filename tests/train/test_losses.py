"""The losses as formulas: what they are to be at limits, whom they heed, and that nothing breaks them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from chunfen.errors import SettingError
from chunfen.train.losses import dpo_loss, simpo_loss
from chunfen.train.losses.combine import check_losses, combined
from chunfen.train.losses.lm import dft
from chunfen.train.losses.pair import DIVERGENCES, Options, Pair, rewards, score, smoothed
from chunfen.train.losses.preference import (
    ALLOWS_DIVERGENCE,
    NEEDS_REFERENCE,
    PREFERENCE_LOSSES,
    USES_LABEL,
)
from chunfen.train.losses.reward import bradley_terry
from chunfen.train.losses.unpaired import apo_zero_unpaired, kto, kto_kl

HALF = Options(beta=0.5)
ALL = pytest.mark.parametrize("name", PREFERENCE_LOSSES)


def pairs(chosen: Tensor, rejected: Tensor, label: float = 0.75) -> Pair:
    """Pairs with these log-probabilities, and a reference and lengths that no loss takes for nothing."""
    rows = torch.arange(float(len(chosen)))
    return Pair(chosen, rejected, 2 + rows, 5 - rows % 3, -3 - rows, -5 + rows, label)


def some(rows: int = 6, label: float = 0.75) -> Pair:
    generator = torch.Generator().manual_seed(0)
    return pairs(*(-8 * torch.rand(2, rows, generator=generator) - 0.5), label)


# ipo squares scores, which can be as far as 1e34.
DIVERGING = [(name, kind) for name in sorted(ALLOWS_DIVERGENCE - {"ipo"}) for kind in DIVERGENCES[1:]]


@pytest.mark.parametrize(("name", "kind"), [*((name, "reverse_kl") for name in PREFERENCE_LOSSES), *DIVERGING])
def test_no_pair_breaks_a_loss(name, kind):
    texts = torch.tensor([[-1e3, -1e-9], [-1e-9, -1e3], [-1e3, -1e3], [0.0, 0.0], [0.0, -1e3]], requires_grad=True)
    ones = torch.ones(5)
    for reference in (0.0, -500.0):
        pair = Pair(texts[:, 0], texts[:, 1], ones, 3 * ones, reference, reference, 0.9)
        for beta in (0.1, 2.5):
            loss = PREFERENCE_LOSSES[name](pair, Options(beta, f_divergence_type=kind))
            (gradient,) = torch.autograd.grad(loss.sum(), texts)
            assert loss.dtype == torch.float32
            assert loss.isfinite().all()
            assert gradient.isfinite().all()


def heeded(name: str, changed: Pair, options: Options = HALF) -> bool:
    one, other = (PREFERENCE_LOSSES[name](pair, o) for pair, o in ((some(), HALF), (changed, options)))
    return not torch.allclose(one, other, rtol=0, atol=1e-4)


@ALL
def test_the_tables_say_what_a_loss_heeds(name):
    pair = some()
    moved = replace(pair, ref_chosen=pair.ref_chosen + torch.linspace(1, 2, 6))
    assert heeded(name, moved) == (name in NEEDS_REFERENCE)
    assert heeded(name, replace(pair, label=0.9)) == (name in USES_LABEL)
    assert heeded(name, pair, replace(HALF, f_divergence_type="forward_kl")) == (name in ALLOWS_DIVERGENCE - {"sft"})


@pytest.mark.parametrize("name", sorted(NEEDS_REFERENCE))
def test_only_the_ratio_to_the_reference_counts(name):
    pair, shift = some(), torch.linspace(-2, 2, 6)
    both = replace(
        pair,
        **{part: getattr(pair, part) + shift for part in ("chosen", "ref_chosen")},
        **{part: getattr(pair, part) - 2 * shift for part in ("rejected", "ref_rejected")},
    )
    torch.testing.assert_close(rewards(both, 0.5), rewards(pair, 0.5))
    if name != "aot":  # which sorts margins, not gains
        torch.testing.assert_close(PREFERENCE_LOSSES[name](both, HALF), PREFERENCE_LOSSES[name](pair, HALF))


@pytest.mark.parametrize("name", ["sigmoid", "sigmoid_norm", "exo_pair", "robust", "simpo"])
def test_the_other_text_with_the_other_label_is_the_same_pair(name):
    pair, options = some(), replace(HALF, simpo_gamma=0.0)
    turned = Pair(
        *(pair.rejected, pair.chosen, pair.rejected_length, pair.chosen_length, pair.ref_rejected, pair.ref_chosen),
        label=1 - pair.label,
    )
    torch.testing.assert_close(PREFERENCE_LOSSES[name](turned, options), PREFERENCE_LOSSES[name](pair, options))


@pytest.mark.parametrize(
    "name",
    [
        "sigmoid",
        "sigmoid_norm",
        "hinge",
        "robust",
        "bco_pair",
        "apo_zero",
        "aot",
        "aot_unpaired",
        "simpo",
        "odds_ratio",
        "sft",
    ],
)
def test_pulls_the_texts_apart(name):
    texts = torch.stack([some().chosen, some().rejected]).requires_grad_()
    loss = PREFERENCE_LOSSES[name](pairs(*texts, label=1.0), HALF)
    (gradient,) = torch.autograd.grad(loss.sum(), texts)
    assert (gradient[0] <= 0).all() and gradient[0].min() < -1e-3
    assert (gradient[1] >= 0).all() and (gradient[1].max() > 1e-3 or name == "sft")


@pytest.mark.parametrize(
    ("name", "chosen", "rejected", "value"),
    [
        ("sigmoid", 0.0, 0.0, math.log(2)),
        ("hinge", 1.0, -1.0, 0.0),  # a margin of 1 / beta suffices
        ("ipo", 4.0, 3.0, 0.0),  # per token 2 − 1 = 1 / (2 beta)
        ("sppo_hard", 1.0, -1.0, 0.0),
        ("discopop", 0.0, 0.0, (math.log(2) + 1) / 2),
        ("exo_pair", 2 * math.log(3), 0.0, 0.0),  # σ(beta · margin) = ¾, the label
        ("apo_zero", 0.0, 0.0, 1.0),
        ("apo_down", 0.0, 0.0, 1.0),
        ("nca_pair", 0.0, 0.0, 2 * math.log(2)),
        ("bco_pair", 0.0, 0.0, 2 * math.log(2)),
        ("aot", 3.0, 3.0, math.log(2)),
    ],
)
def test_known_values(name, chosen, rejected, value):
    label = 0.75 if name == "exo_pair" else 1.0
    ratio = [torch.tensor([x], requires_grad=True) for x in (chosen, rejected)]
    pair = Pair(*ratio, torch.tensor([2.0]), torch.tensor([3.0]), label=label)
    loss = PREFERENCE_LOSSES[name](pair, HALF)
    assert loss.item() == pytest.approx(value, abs=1e-6)
    if value == 0:
        assert all(gradient.abs() < 1e-6 for gradient in torch.autograd.grad(loss, ratio))


@ALL
def test_rows_do_not_see_each_other(name):
    whole = PREFERENCE_LOSSES[name](some(), HALF)
    turned = PREFERENCE_LOSSES[name](_picked(some(), [5, 4, 3, 2, 1, 0]), HALF)
    torch.testing.assert_close(turned.mean(), whole.mean())
    if name not in ("aot", "aot_unpaired", "sft"):  # ranks, and a mean over all tokens
        torch.testing.assert_close(PREFERENCE_LOSSES[name](_picked(some(), [2]), HALF), whole[2:3])


def _picked(pair: Pair, rows: list[int]) -> Pair:
    fields = ("chosen", "rejected", "chosen_length", "rejected_length", "ref_chosen", "ref_rejected")
    return replace(pair, **{field: getattr(pair, field)[rows] for field in fields})


def test_sft_is_the_mean_over_tokens():
    pair = some()
    value = PREFERENCE_LOSSES["sft"](pair, HALF).mean()
    torch.testing.assert_close(value, -pair.chosen.sum() / pair.chosen_length.sum())


def test_labels_may_differ_from_row_to_row():
    pair = replace(some(), label=torch.tensor([1.0, 0.9, 0.7, 0.6, 0.5, 0.0]))
    for name in ("sigmoid", "sigmoid_norm", "simpo"):
        whole = PREFERENCE_LOSSES[name](pair, HALF)
        one = PREFERENCE_LOSSES[name](replace(pair, label=0.7), HALF)
        torch.testing.assert_close(whole[2], one[2])
    assert smoothed(1.0, 0.1) == pytest.approx(0.9)
    assert smoothed(0.0, 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize("kind", DIVERGENCES)
def test_scores_rise_from_nothing(kind):
    ratio = torch.linspace(-3, 3, 61)
    value = score(ratio, Options(f_divergence_type=kind))
    assert (value.diff() > 0).all()
    assert value[30].abs() < 1e-6


def test_alpha_joins_the_two_kl():
    ratio = torch.linspace(-3, 3, 61)
    for kind, alpha in (("reverse_kl", 1.0), ("reverse_kl", 1.0005), ("forward_kl", 0.0)):
        between = Options(f_divergence_type="alpha_divergence", f_alpha_divergence_coef=alpha)
        torch.testing.assert_close(
            score(ratio, between), score(ratio, Options(f_divergence_type=kind)), rtol=1e-2, atol=1e-2
        )


def test_several_losses_are_their_weighted_sum():
    parts = [PREFERENCE_LOSSES[name](some(), HALF) for name in ("sigmoid", "ipo")]
    torch.testing.assert_close(combined(some(), ["sigmoid", "ipo"], [2.0, 0.5], HALF), 2 * parts[0] + 0.5 * parts[1])
    torch.testing.assert_close(combined(some(), ["sigmoid", "ipo"], [], HALF), parts[0] + parts[1])


def test_the_margin_forms_are_the_same_losses():
    pair = some()
    margin, reference = pair.chosen - pair.rejected, pair.ref_chosen - pair.ref_rejected
    torch.testing.assert_close(dpo_loss(margin, reference, 0.5, 0.75), PREFERENCE_LOSSES["sigmoid"](pair, HALF))
    lead = pair.chosen / pair.chosen_length - pair.rejected / pair.rejected_length
    torch.testing.assert_close(simpo_loss(lead, 0.5, 0.5, 0.75), PREFERENCE_LOSSES["simpo"](pair, HALF))


@pytest.mark.parametrize(
    ("types", "weights", "options", "says"),
    [
        (["sigmoind"], [], {}, "loss_type 'sigmoind': unknown. Did you mean 'sigmoid"),
        ([], [], {}, "loss_type"),
        (["sigmoid", "sft"], [1.0], {}, "loss_weights: 1 for 2 losses"),
        (["robust"], [], {"label_smoothing": 0.5}, "label_smoothing 0.5"),
        (["exo_pair"], [], {}, "0.001"),
        (["sigmoid", "hinge"], [], {"label_smoothing": 0.1}, "hinge would ignore it"),
        (["sft"], [], {"label_smoothing": 0.1}, "sft would ignore it"),
        (["sigmoid"], [], {"f_divergence_type": "kl"}, "f_divergence_type 'kl': unknown"),
        (["sigmoid", "aot"], [], {"f_divergence_type": "forward_kl"}, "aot takes reverse_kl only"),
    ],
)
def test_what_does_not_go_together_is_refused(types, weights, options, says):
    with pytest.raises(SettingError, match=says):
        check_losses(types, weights, **options)


def test_what_goes_together_is_not_refused():
    check_losses(["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0])
    check_losses(["exo_pair", "sft"], label_smoothing=1e-3, f_divergence_type="js_divergence")
    with pytest.raises(SettingError, match="f_divergence_type 'js'"):
        score(torch.zeros(1), Options(f_divergence_type="js"))


def test_kto():
    ratio = torch.tensor([-1e3, 2.0, 1e3], requires_grad=True)
    wanted, unwanted = torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)
    up, down = kto(ratio, wanted, 0.5, 2.0), kto(ratio, unwanted, 0.5, 2.0)
    torch.testing.assert_close(up, torch.tensor([1.0, 0.5, 0.0]))
    torch.testing.assert_close(up + down, torch.ones(3))
    torch.testing.assert_close(apo_zero_unpaired(ratio, wanted, 0.5, 2.0), kto(ratio, wanted, 0.5, 0.0))

    kl = kto_kl(ratio, torch.zeros(3))
    assert not kl.requires_grad
    assert kto_kl(torch.tensor([5.0, -3.0]), torch.zeros(2)) == 1.0  # the mean, and only then cut off
    assert kto_kl(torch.tensor([3.0, -5.0]), torch.zeros(2)) == 0.0


def test_bradley_terry():
    better, worse = torch.tensor([1e3, 0.5, -1e3]), torch.tensor([-1e3, 0.5, 1e3])
    loss = bradley_terry(better, worse)
    torch.testing.assert_close(loss, torch.tensor([0.0, math.log(2), 2e3]))
    torch.testing.assert_close(bradley_terry(worse, better) - loss, better - worse)
    assert bradley_terry(better, worse, margin=1.0)[1] > loss[1]
    torch.testing.assert_close(bradley_terry(better, worse, center=0.1) - loss, torch.tensor([0.0, 0.1, 0.0]))


def test_dft_pulls_with_the_probability():
    log_probs = torch.tensor([-1e3, -1.0, 0.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(dft(log_probs).sum(), log_probs)
    torch.testing.assert_close(gradient, -log_probs.detach().exp())
