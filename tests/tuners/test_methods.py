"""What is particular to a method."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    MixtralConfig,
    MixtralForCausalLM,
    TrainerCallback,
)

from chunfen.engines.transformers.scoring import token_logprobs
from chunfen.errors import ChunfenError, SettingError
from chunfen.models.adapters import MergeError, with_adapters
from chunfen.settings.tuner import TunerSettings
from chunfen.tuners import TUNERS
from chunfen.tuners.galore import GaLoreAdamW
from chunfen.tuners.layers import decoder_layers
from chunfen.tuners.lisa import drawn
from engines.families import TREE, VOCABULARY, tiny
from tuners.cases import CASES, IDS, attached, logits, reloaded, train


class Spy(TrainerCallback):
    """Calls a function after each step, before the gradients are gone."""

    def __init__(self, look) -> None:
        self.look = look

    def on_optimizer_step(self, args, state, control, **more) -> None:
        self.look(state.global_step, more["optimizer"])


def made(**settings):
    given = TunerSettings(**settings)
    return TUNERS[given.tuner_type](tiny("llama"), given)


def test_lisa_trains_the_drawn_layers_and_remembers_no_other(tmp_path):
    tuner = attached("lisa", "llama")
    layers = decoder_layers(tuner.model)
    seen = []

    def look(step, optimizer):
        learning = {k for k, layer in enumerate(layers) if any(p.grad is not None for p in layer.parameters())}
        kept = {k for k, layer in enumerate(layers) if any(p in optimizer.state for p in layer.parameters())}
        assert kept == learning
        assert tuner.model.lm_head.weight in optimizer.state
        seen.append(learning)

    train(tuner, tmp_path, more=(Spy(look),))
    turns = [drawn(3, 1, seed=42, turn=turn) for turn in (0, 1)]
    assert seen == [turns[0], turns[0], turns[1], turns[1]], "two steps each, and no draw in between"
    assert turns[0] != turns[1]


def test_galore_at_full_rank_is_adamw():
    """With a basis of all dimensions that is the identity, projecting and restoring cancel."""
    torch.manual_seed(0)
    start = torch.randn(6, 4)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    terms = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8}
    optimizer = GaLoreAdamW([{"params": [ours], "weight_decay": 0.2}], **terms)
    reference = torch.optim.AdamW([theirs], weight_decay=0.2, **terms)
    for _ in range(3):
        for parameter, rule in ((ours, optimizer), (theirs, reference)):
            parameter.grad = (parameter.detach() - 1) ** 3
            rule.step()
    torch.testing.assert_close(ours, theirs)


def test_galore_keeps_states_of_low_rank(tmp_path):
    tuner = attached("galore", "llama")
    trainer = train(tuner, tmp_path)
    weight = tuner.model.model.layers[0].mlp.down_proj.weight  # [32, 48]
    state = trainer.optimizer.state[weight]
    assert state["exp_avg"].shape == state["exp_avg_sq"].shape == (4, 48)
    assert state["basis"].shape == (32, 4)
    assert trainer.optimizer.state[tuner.model.lm_head.weight]["exp_avg"].shape == tuner.model.lm_head.weight.shape


def test_galore_brings_its_own_optimizer(tmp_path):
    with pytest.raises(SettingError, match="optim adafactor: tuner_type galore brings its own"):
        train(attached("galore", "llama"), tmp_path, optim="adafactor")


def test_lora_plus_lets_b_learn_faster(tmp_path):
    trainer = train(attached("lora+", "llama"), tmp_path, max_steps=1)
    rates = {
        name.split(".lora_")[1][0]: group["initial_lr"]
        for group in trainer.optimizer.param_groups
        for name, p in trainer.model.named_parameters()
        if any(p is member for member in group["params"])
    }
    assert rates == {"A": 1e-2, "B": pytest.approx(16e-2)}


def test_adalora_lets_ranks_fall_to_the_target(tmp_path):
    tuner = attached("adalora", "llama")
    train(tuner, tmp_path, max_steps=8, save_strategy="no")
    values = torch.cat([p.flatten() for name, p in tuner.model.named_parameters() if "lora_E" in name])
    assert len(values) == 3 * 7 * 4
    assert int((values != 0).sum()) == 3 * 7 * 2


def test_adalora_needs_steps_between_its_phases(tmp_path):
    with pytest.raises(SettingError, match="adalora_tinit 0 and adalora_tfinal 1 leave no steps of 2"):
        train(attached("adalora", "llama"), tmp_path, max_steps=2)


def test_adalora_goes_on_from_a_checkpoint_elsewhere_but_not_without_what_it_knew(tmp_path):
    whole, again = attached("adalora", "llama"), attached("adalora", "llama")
    train(whole, tmp_path)
    begin = tmp_path / "checkpoint-2"
    train(again, tmp_path / "elsewhere", resume=begin, resume_from_checkpoint=str(begin))
    assert torch.equal(logits(again.model), logits(whole.model))
    (tmp_path / "checkpoint-2" / "adalora.safetensors").unlink()
    with pytest.raises(ChunfenError, match=r"adalora\.safetensors is missing"):
        train(attached("adalora", "llama"), tmp_path, resume=tmp_path / "checkpoint-2")


def test_the_penalty_of_adalora_is_the_one_that_peft_adds_to_a_loss():
    tuner = attached("adalora", "llama")
    with torch.no_grad():
        batch = {"input_ids": IDS, "labels": IDS}
        with_penalty, without = tuner.model(**batch).loss, tuner.model.get_base_model()(**batch).loss
    assert float(tuner.penalty()) == pytest.approx(float(with_penalty - without), rel=1e-4)
    assert attached("lora", "llama").penalty() is None


@pytest.mark.parametrize("family", TREE)
def test_llamapro_and_reft_know_every_family(family):
    before = logits(tiny(family))
    deeper = TUNERS["llamapro"](tiny(family), TunerSettings(tuner_type="llamapro", llamapro_num_new_blocks=2))
    assert len(decoder_layers(deeper.model)) == deeper.model.config.num_hidden_layers == 5
    assert torch.equal(logits(deeper.model), before)
    edited = TUNERS["reft"](tiny(family), CASES["reft"].make())
    assert torch.equal(logits(edited.model), before)
    for edit in edited.model.edits.values():
        nn.init.ones_(edit.bias)
    assert not torch.allclose(logits(edited.model), before, rtol=1e-2)


def test_llamapro_knows_a_mixture_of_experts_and_refuses_what_it_does_not_know(monkeypatch):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = MixtralConfig(vocab_size=VOCABULARY, num_hidden_layers=2, num_local_experts=2, **sizes)
    settings = TunerSettings(tuner_type="llamapro", llamapro_num_new_blocks=1)
    torch.manual_seed(0)
    model = MixtralForCausalLM(config).eval()
    before = logits(model)
    assert torch.equal(logits(TUNERS["llamapro"](model, settings).model), before)
    monkeypatch.setattr("chunfen.tuners.llamapro.RESIDUAL", ("o_proj",))
    with pytest.raises(SettingError, match="does not know how to make new layers of MixtralForCausalLM"):
        TUNERS["llamapro"](MixtralForCausalLM(config), settings)


def test_llamapro_uses_a_cache_as_a_deeper_model_does():
    tuner = attached("llamapro", "llama")
    for block in tuner.new:
        nn.init.normal_(block.mlp.down_proj.weight, std=0.1)
    tuner.model.eval()
    generated = tuner.model.generate(IDS[:, :4], max_new_tokens=5, do_sample=False, eos_token_id=None)
    whole = logits_of(tuner.model, generated)
    assert torch.equal(whole[:, 3:-1].argmax(-1), generated[:, 4:])


def test_freeze_trains_the_end_and_what_is_named():
    ratio = {"tuner_type": "freeze", "freeze_parameters_ratio": 0.5}
    tuner = made(**ratio, trainable_parameters=("model.embed_tokens",))
    trained = {name for name, p in tuner.model.named_parameters() if p.requires_grad}
    assert {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} <= trained
    assert not [name for name in trained if name.startswith("model.layers.0.")]
    share = sum(p.numel() for p in made(**ratio).model.parameters() if p.requires_grad)
    assert 0.5 <= share / sum(p.numel() for p in tiny("llama").parameters()) < 0.6


def logits_of(model, ids):
    with torch.no_grad():
        return model(input_ids=ids).logits


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_reft_edits_the_first_tokens_of_each_text_wherever_they_are(family):
    """Behind padding and with a cache the same tokens are edited."""
    tuner = TUNERS["reft"](tiny(family), CASES["reft-first"].make())
    for edit in tuner.model.edits.values():
        nn.init.normal_(edit.bias, std=3)
    model = tuner.model.eval()
    ids = IDS[:1, :6]
    expected = logits_of(model, ids)
    assert not torch.allclose(expected, logits_of(tiny(family), ids), rtol=1e-2)
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], 1)
    mask = (torch.arange(9) >= 3).long()[None]
    positions = (mask.cumsum(-1) - 1).clamp_min(0)
    with torch.no_grad():
        behind = model(input_ids=padded, attention_mask=mask, position_ids=positions).logits[:, 3:]
        first = model(input_ids=ids[:, :2], use_cache=True)
        rest = model(input_ids=ids[:, 2:], past_key_values=first.past_key_values).logits
    torch.testing.assert_close(behind, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.cat([first.logits, rest], 1), expected, rtol=1e-4, atol=1e-4)


def test_reft_edits_texts_that_share_a_beginning_as_it_edits_each_alone():
    tuner = attached("reft-first", "llama")
    for edit in tuner.model.edits.values():
        nn.init.normal_(edit.bias, std=3)
    texts = [[*IDS[0, :2].tolist(), *rest] for rest in ([5, 6, 7], [8, 9], [10, 11, 12, 13])]
    reads = [range(1, len(text)) for text in texts]
    shared, alone = (token_logprobs(tuner.model, texts, reads, tree=tree, batch_tokens=64) for tree in (True, False))
    for one, other in zip(shared, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_reft_generates_as_it_scores():
    tuner = attached("reft-first", "llama")
    for edit in tuner.model.edits.values():
        nn.init.normal_(edit.bias, std=3)
    model = tuner.model.eval()
    generated = model.generate(input_ids=IDS[:, :2], max_new_tokens=5, do_sample=False, eos_token_id=None)
    assert torch.equal(logits_of(model, generated)[:, 1:-1].argmax(-1), generated[:, 2:])


def test_a_reft_that_does_not_fit_is_refused(tmp_path):
    attached("reft", "llama").save(tmp_path)
    with pytest.raises(SettingError, match="does not fit the model 'small'"):
        with_adapters(small(), [tmp_path], "small")
    config = json.loads((tmp_path / "reft_config.json").read_text())
    (tmp_path / "reft_config.json").write_text(json.dumps(config | {"reft_type": "DIREFT"}))
    with pytest.raises(SettingError, match="unknown reft_type 'DIREFT'"):
        with_adapters(tiny("llama"), [tmp_path], "llama")


def small():
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=3, num_attention_heads=1)
    )


def test_a_reft_below_another_adapter_cannot_be_merged_away(tmp_path):
    attached("reft", "llama").save(tmp_path / "reft")
    attached("lora", "llama").save(tmp_path / "lora")
    with pytest.raises(MergeError, match="ReFT edits hidden states"):
        with_adapters(tiny("llama"), [tmp_path / "reft", tmp_path / "lora"], "llama")
    stacked = with_adapters(tiny("llama"), [tmp_path / "lora", tmp_path / "reft"], "llama")
    torch.testing.assert_close(logits(stacked), logits(tiny("llama")))


@pytest.mark.parametrize("places", [("c_attn", "lm_head"), ("wte",), ("wte", "lm_head")])
def test_an_adapter_on_tied_embeddings_is_merged_where_it_sat(places, tmp_path):
    given = TunerSettings(target_modules=places, lora_rank=4, lora_dropout=0)
    tuner = TUNERS["lora"](tiny("gpt2"), given)
    for name, weight in tuner.model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(weight, std=0.3)
    expected = logits(tuner.model)
    plain = tuner.merge()
    torch.testing.assert_close(logits(plain), expected, rtol=1e-4, atol=1e-3)
    plain.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(reloaded(tmp_path, "gpt2")), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("case", ["lora", "reft"])
def test_noise_on_the_embeddings_reaches_the_adapters(case, tmp_path):
    """NEFTune is the Trainer's; it has to find the embeddings through whatever is around the model."""
    plain, noisy = attached(case, "llama"), attached(case, "llama")
    train(plain, tmp_path / "plain", max_steps=1)
    train(noisy, tmp_path / "noisy", max_steps=1, neftune_noise_alpha=5.0)
    assert not torch.equal(logits(plain.model), logits(noisy.model))


@pytest.mark.parametrize("tuner_type", ["lora", "vera", "full", "freeze", "llamapro", "lisa"])
def test_a_classifier_is_tuned_with_its_head(tuner_type):
    more = {"llamapro_num_new_blocks": 1} if tuner_type == "llamapro" else {}
    tuner = TUNERS[tuner_type](classifier(), TunerSettings(tuner_type=tuner_type, **more))
    trained = {name for name, p in tuner.model.named_parameters() if p.requires_grad}
    assert any("score" in name for name in trained), trained


def test_a_method_that_would_leave_a_new_head_untrained_says_so():
    with pytest.raises(SettingError, match=r"tuner_type reft .* head of classes"):
        TUNERS["reft"](classifier(), TunerSettings(tuner_type="reft"))


def classifier():
    config = LlamaConfig(
        vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=1, num_labels=3
    )
    return AutoModelForSequenceClassification.from_config(config)
