"""The losses are TRL's: its own trainers on their own batches against ours from plain forward passes, text by text."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from chunfen.train.losses.combine import combined
from chunfen.train.losses.lm import TOKEN_LOSSES
from chunfen.train.losses.pair import Options, rewards
from chunfen.train.losses.preference import PREFERENCE_LOSSES
from chunfen.train.losses.reward import bradley_terry, reward_gains
from chunfen.train.losses.unpaired import UNPAIRED_LOSSES, desirability, kto_kl, mismatched
from train.peers import PAIRS, World, answers_of, batch_of, logged, pair_of, push

pytest.importorskip("trl")

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(scope="module")
def world(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    tokenizer.pad_token = tokenizer.unk_token
    reference = AutoModelForCausalLM.from_pretrained(tiny_model_dir).eval()
    policy = deepcopy(reference)
    push(policy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
        yield World(policy, reference, tokenizer, tmp_path_factory.mktemp("trl"))


@pytest.fixture(scope="module")
def dpo(world: World) -> Any:
    from trl import DPOConfig, DPOTrainer

    return world.trainer(DPOTrainer, DPOConfig, PAIRS, ref=world.reference)


TRL_TYPES = [name for name in PREFERENCE_LOSSES if name not in ("simpo", "odds_ratio")]
SMOOTHED = ["robust", "exo_pair", "aot", "aot_unpaired"]
DPO_CASES = [
    *(([name], [], 0.0, Options(beta)) for name in TRL_TYPES if name != "exo_pair" for beta in (0.1, 1.5)),
    *(([name], [], 0.2, Options(0.3)) for name in SMOOTHED),
    (["exo_pair"], [], 1e-3, Options(0.1)),
    (["discopop"], [], 0.0, Options(0.3, discopop_tau=0.5)),
    (["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0], 0.0, Options(0.1)),
    (["hinge", "ipo", "apo_down"], [], 0.0, Options(0.5)),
    (["robust", "aot", "sft"], [1.0, 0.5, 0.1], 0.1, Options(0.5)),
    *(
        ([name], [], 0.1 if name in SMOOTHED else 0.0, Options(0.3, f_divergence_type=kind, f_alpha_divergence_coef=a))
        for name in ("sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft")
        for kind, a in [
            ("forward_kl", 0.5),
            ("js_divergence", 0.5),
            ("alpha_divergence", 0.3),
            ("alpha_divergence", 1.0),
        ]
    ),
]


def _told(trainer: Any, types: list[str], weights: list[float], smoothing: float, options: Options) -> Any:
    """The trainer, with another loss than it was built with."""
    trainer.loss_types, trainer.loss_weights = types, weights or [1.0] * len(types)
    trainer.beta, trainer.label_smoothing, trainer.ld_alpha = options.beta, smoothing, None
    trainer.f_divergence_type = options.f_divergence_type
    trainer.f_alpha_divergence_coef = options.f_alpha_divergence_coef
    trainer.args.discopop_tau = options.discopop_tau
    return trainer


def _dpo_masks(batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    return batch["input_ids"], batch["attention_mask"], batch["completion_mask"]


@pytest.mark.parametrize(("types", "weights", "smoothing", "options"), DPO_CASES, ids=lambda value: str(value))
def test_dpo(dpo, world, types, weights, smoothing, options):
    batch = batch_of(dpo)
    told = _told(dpo, types, weights, smoothing, options)
    pair = replace(pair_of(world.policy, world.reference, *_dpo_masks(batch)), label=1 - smoothing)

    expected = told.compute_loss(told.model, batch)
    ours = combined(pair, types, weights, options)

    assert ours.shape == (4,)
    torch.testing.assert_close(ours.mean(), expected, **CLOSE)


def test_the_cases_are_all_of_trl(dpo):
    with pytest.raises(ValueError, match="Unknown loss type") as raised:
        told = _told(dpo, ["none"], [], 0.0, Options())
        told.compute_loss(told.model, batch_of(dpo))
    named = str(raised.value).split("[")[1]
    assert set(named.replace("]", "").replace("'", "").split(", ")) == set(TRL_TYPES)


def test_smoothing_of_sigmoid_is_where_we_part(dpo, world):
    """TRL smooths its CPO's sigmoid (below) and no longer that of its DPO."""
    batch = batch_of(dpo)
    told = _told(dpo, ["sigmoid"], [], 0.2, Options(0.3))
    expected = told.compute_loss(told.model, batch)
    pair = pair_of(world.policy, world.reference, *_dpo_masks(batch))
    torch.testing.assert_close(combined(pair, ["sigmoid"], [], Options(0.3)).mean(), expected, **CLOSE)
    smooth = combined(replace(pair, label=0.8), ["sigmoid"], [], Options(0.3)).mean()
    assert (smooth - expected).abs() > 0.01


@pytest.mark.parametrize("types", [["sigmoid"], ["discopop"], ["aot", "sft"], ["exo_pair", "apo_zero"]], ids=str)
def test_dpo_gradients(dpo, world, types):
    batch, model = batch_of(dpo), deepcopy(world.policy)
    told = _told(dpo, types, [], 0.1, Options(0.7))
    told.model.zero_grad()
    told.compute_loss(told.model, batch).backward()
    expected = {name: weight.grad for name, weight in told.model.named_parameters()}

    pair = replace(pair_of(model, world.reference, *_dpo_masks(batch)), label=0.9 if types != ["sigmoid"] else 1.0)
    combined(pair, types, [], Options(0.7)).mean().backward()

    assert max(weight.grad.abs().max() for weight in model.parameters()) > 1e-2
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("types", [["sigmoid"], ["ipo"], ["aot"]], ids=str)
def test_dpo_less_sensitive_to_length(dpo, world, types):
    batch = batch_of(dpo)
    told = _told(dpo, types, [], 0.0, Options(0.3))
    told.ld_alpha = 0.4
    pair = pair_of(world.policy, world.reference, *_dpo_masks(batch), ld_alpha=0.4)
    torch.testing.assert_close(
        combined(pair, types, [], Options(0.3)).mean(), told.compute_loss(told.model, batch), **CLOSE
    )


def test_rewards_are_those_of_the_log(dpo, world):
    batch = batch_of(dpo)
    told = _told(dpo, ["sigmoid"], [], 0.0, Options(0.3))
    told.compute_loss(told.model, batch)
    for name, value in rewards(pair_of(world.policy, world.reference, *_dpo_masks(batch)), 0.3).items():
        assert value.mean().item() == pytest.approx(logged(told, name), abs=1e-5)


def _cpo_masks(trainer: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    both = trainer.concatenated_inputs(batch, padding_value=0)
    labels = both["concatenated_labels"]
    return both["concatenated_input_ids"], both["concatenated_attention_mask"], labels != -100


@pytest.fixture(scope="module")
def cpo(world: World) -> Any:
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    return world.trainer(CPOTrainer, CPOConfig, PAIRS)


@pytest.mark.parametrize(
    ("name", "alpha", "smoothing", "shape"),
    [
        ("sigmoid", 1.0, 0.0, 0.0),
        ("sigmoid", 0.5, 0.1, 0.0),
        ("hinge", 1.0, 0.0, 0.0),
        ("ipo", 0.3, 0.0, 0.0),
        ("simpo", 0.0, 0.0, 0.0),
        ("simpo", 1.0, 0.2, 0.0),
        ("simpo", 0.0, 0.0, 0.25),
    ],
)
def test_cpo_and_simpo(cpo, world, name, alpha, smoothing, shape):
    batch = batch_of(cpo)
    cpo.loss_type, cpo.cpo_alpha, cpo.label_smoothing, cpo.alpha = name, alpha, smoothing, shape
    cpo.beta, cpo.simpo_gamma = 0.8, 0.6
    options = Options(beta=0.8, simpo_gamma=0.6)
    if shape:
        options = replace(options, f_divergence_type="alpha_divergence", f_alpha_divergence_coef=1 - shape)
    pair = pair_of(world.policy, None, *_cpo_masks(cpo, batch))
    pair = replace(pair, label=1 - smoothing, prompt=0.0, prompt_length=0.0)

    expected, metrics = cpo.get_batch_loss_metrics(cpo.model, batch)

    torch.testing.assert_close(combined(pair, [name, "sft"], [1.0, alpha], options).mean(), expected, **CLOSE)
    if not shape:
        gains = rewards(pair, 0.8, per_token=name in ("ipo", "simpo"))
        assert {n: pytest.approx(v.mean().item(), abs=1e-5) for n, v in gains.items()}.items() <= metrics.items()


def test_orpo(world):
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    trainer = world.trainer(ORPOTrainer, ORPOConfig, PAIRS, beta=0.4)
    batch = batch_of(trainer)
    pair = pair_of(world.policy, None, *_cpo_masks(trainer, batch))
    expected, metrics = trainer.get_batch_loss_metrics(trainer.model, batch)

    torch.testing.assert_close(combined(pair, ["odds_ratio", "sft"], [], Options(0.4)).mean(), expected, **CLOSE)
    gains = {name: value.mean().item() for name, value in rewards(pair, 0.4, per_token=True).items()}
    assert gains == pytest.approx({name: metrics[name] for name in gains}, abs=1e-5)


@pytest.mark.parametrize("name", UNPAIRED_LOSSES)
@pytest.mark.parametrize("label", [[True, False, True, True], [False] * 4], ids=["mixed", "unwanted"])
def test_kto(world, name, label):
    from trl import KTOConfig, KTOTrainer

    rows = {"prompt": PAIRS["prompt"], "completion": PAIRS["chosen"], "label": label}
    config = {"beta": 0.3, "desirable_weight": 1.2, "undesirable_weight": 0.7}
    policy, reference = world.reference, world.policy  # this way round the estimate of the KL is above 0
    trainer = world.trainer(KTOTrainer, KTOConfig, rows, model=policy, ref=reference, **config)
    trainer.loss_type = name
    batch = batch_of(trainer)

    def sums(model: Any, kind: str = "") -> Tensor:
        masks = (batch[kind + key] for key in ("input_ids", "attention_mask", "completion_mask"))
        return torch.stack([answer.sum() for _, answer in answers_of(model, *masks)])

    ids = trainer.train_dataset["completion_ids"]
    assert trainer.train_dataset["KL_completion_ids"][:] == mismatched(ids[:])
    kl = kto_kl(sums(policy, "KL_"), sums(reference, "KL_"))
    wanted = batch["label"].bool()
    assert kl > 0
    ours = UNPAIRED_LOSSES[name](sums(policy) - sums(reference).detach(), wanted, 0.3, kl)
    ours = (ours * desirability(wanted, 1.2, 0.7)).mean()

    torch.testing.assert_close(ours, trainer.compute_loss(trainer.model, batch), **CLOSE)
    assert kl.item() == pytest.approx(logged(trainer, "kl"), abs=1e-5)


@pytest.mark.parametrize("center", [None, 0.05])
@pytest.mark.parametrize("margin", [None, [0.5, 0.0, 1.5, 2.0]], ids=["plain", "margin"])
def test_reward(world, tiny_model_dir, center, margin):
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    model = AutoModelForSequenceClassification.from_pretrained(tiny_model_dir, num_labels=1).eval()
    push(model)
    rows = PAIRS | ({"margin": margin} if margin else {})
    trainer = world.trainer(RewardTrainer, RewardConfig, rows, model=model, center_rewards_coefficient=center)
    batch = batch_of(trainer)
    model.config.pad_token_id = world.tokenizer.pad_token_id
    scores = [
        model(input_ids=ids[mask.bool()][None]).logits[0, 0]
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    chosen, rejected = torch.stack(scores).chunk(2)
    ours = bradley_terry(chosen, rejected, torch.tensor(margin or [0.0] * 4), center or 0.0)

    torch.testing.assert_close(ours.mean(), trainer.compute_loss(trainer.model, batch), **CLOSE)
    for name, value in reward_gains(chosen, rejected).items():
        assert value.mean().item() == pytest.approx(logged(trainer, name), abs=1e-5)


@pytest.mark.parametrize("name", TOKEN_LOSSES)
def test_sft(world, name):
    from trl import SFTConfig, SFTTrainer

    rows = {"prompt": PAIRS["prompt"], "completion": PAIRS["chosen"]}
    trainer = world.trainer(SFTTrainer, SFTConfig, rows, loss_type=name)
    batch = batch_of(trainer)
    masks = batch["input_ids"], batch["attention_mask"], batch["labels"] != -100
    tokens = torch.cat([answer for _, answer in answers_of(world.policy, *masks)])

    torch.testing.assert_close(
        TOKEN_LOSSES[name](tokens).mean(), trainer.compute_loss(trainer.model, dict(batch)), **CLOSE
    )
