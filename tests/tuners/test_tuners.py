"""The same promises of every method: what moves, saving, merging, switching off, beginning, going on."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass

import pytest
import torch

from chunfen.errors import SettingError
from chunfen.models.adapters import MergeError
from chunfen.tuners.base import Tuner
from engines.families import tiny
from tuners.cases import CASES, PAIRS, REFUSED, STEPS, attached, logits, reloaded, train


@dataclass
class Trained:
    """A tuner after a few steps, its weights before them, and its last logits."""

    case: str
    family: str
    tuner: Tuner
    before: dict[str, torch.Tensor]
    trainable: set[str]
    folder: object

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return dict(self.tuner.model.named_parameters())


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def trained(request, tmp_path_factory) -> Trained:
    case, family = request.param
    folder = tmp_path_factory.mktemp("run")
    tuner = attached(case, family)
    before = {name: p.detach().clone() for name, p in tuner.model.named_parameters()}
    trainable = {name for name, p in tuner.model.named_parameters() if p.requires_grad}
    train(tuner, folder)
    return Trained(case, family, tuner, before, trainable, folder)


def test_only_what_should_move_moves(trained):
    moved = {name for name, p in trained.weights.items() if not torch.equal(p, trained.before[name])}
    assert moved, "something is learned"
    assert moved <= trained.trainable
    assert all(CASES[trained.case].moves in name for name in trained.trainable)
    assert all(trained.weights[name].dtype == torch.float32 for name in trained.trainable)


def test_what_is_saved_says_the_same_when_it_is_loaded(trained, tmp_path):
    trained.tuner.save(tmp_path / "saved")
    again = reloaded(tmp_path / "saved", trained.family)
    assert not torch.allclose(logits(trained.tuner.model), logits(tiny(trained.family)), rtol=1e-3)
    exact = trained.tuner.settings.init_weights == "default"
    torch.testing.assert_close(
        logits(again), logits(trained.tuner.model), rtol=0 if exact else 1e-4, atol=0 if exact else 1e-4
    )
    assert not list((tmp_path / "saved").glob("*.bin")), "nothing is pickled"


def test_a_merged_model_says_the_same_or_the_error_says_why_not(trained, tmp_path):
    copied = copy.copy(trained.tuner)
    copied.model = copy.deepcopy(trained.tuner.model)
    if not CASES[trained.case].merges:
        with pytest.raises(MergeError, match="no weight of the model can do the same"):
            copied.merge()
        return
    expected = logits(trained.tuner.model)
    plain = copied.merge()
    assert not [name for name, _ in plain.named_modules() if "lora" in name or "adapter" in name]
    torch.testing.assert_close(logits(plain), expected, rtol=1e-4, atol=1e-4)
    plain.save_pretrained(tmp_path / "plain")
    torch.testing.assert_close(logits(reloaded(tmp_path / "plain", trained.family)), expected, rtol=1e-4, atol=1e-4)


def test_switched_off_it_is_the_model_as_it_was(trained):
    off = trained.tuner.reference()
    assert (off is not None) == CASES[trained.case].reference
    if off is not None:
        on = logits(trained.tuner.model)
        with off:
            assert torch.equal(logits(trained.tuner.model), logits(tiny(trained.family)))
        assert torch.equal(logits(trained.tuner.model), on), "and on again"


def test_an_interrupted_training_ends_with_the_same_weights(trained, tmp_path):
    shutil.copytree(f"{trained.folder}/checkpoint-{STEPS // 2}", tmp_path / f"checkpoint-{STEPS // 2}")
    tuner = attached(trained.case, trained.family)
    train(tuner, tmp_path, resume=tmp_path / f"checkpoint-{STEPS // 2}")
    for name, weight in tuner.model.named_parameters():
        assert torch.equal(weight, trained.weights[name]), name


@pytest.mark.parametrize(("case", "family"), PAIRS)
def test_a_fresh_one_changes_nothing(case, family):
    before, after = logits(tiny(family)), logits(attached(case, family).model)
    assert (after - before).abs().max() <= CASES[case].changes * before.std()


@pytest.mark.parametrize(("case", "family"), sorted(REFUSED))
def test_a_model_that_a_method_is_not_made_for_is_refused(case, family):
    with pytest.raises(SettingError, match=case):
        attached(case, family)


@pytest.mark.parametrize("case", ["lora", "dora", "vera", "ia3", "boft", "oft", "reft"])
def test_an_adapter_can_go_on_learning(case, tmp_path):
    tuner = attached(case, "llama")
    train(tuner, tmp_path / "first", max_steps=2)
    tuner.save(tmp_path / "adapter")
    before = logits(tuner.model)
    opened = reloaded(tmp_path / "adapter", "llama")
    assert not any(p.requires_grad for p in opened.parameters())
    again = type(tuner)(opened, CASES[case].make())
    assert torch.equal(logits(again.model), before)
    names = {name for name, p in again.model.named_parameters() if p.requires_grad}
    assert names == {name for name, p in tuner.model.named_parameters() if p.requires_grad}
    assert again.reference() is None, "off, it is not what it was before this training"
    train(again, tmp_path / "second", max_steps=2)
    assert not torch.allclose(logits(again.model), before, rtol=1e-3)
    again.save(tmp_path / "adapter2")
    assert torch.equal(logits(reloaded(tmp_path / "adapter2", "llama")), logits(again.model))


def test_a_started_pissa_is_saved_as_an_adapter_of_the_model_as_it_was(tmp_path):
    tuner = attached("pissa", "llama")
    train(tuner, tmp_path / "run", max_steps=2)
    tuner.save(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["init_lora_weights"] is True
    assert config["r"] == 8
    tuner.save(tmp_path / "again")
    assert torch.equal(
        logits(reloaded(tmp_path / "adapter", "llama")), logits(reloaded(tmp_path / "again", "llama"))
    ), "saving changes nothing"
