"""Loading: dtype, device, adapters, fingerprints, and refusals that say what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from chunfen.errors import SettingError
from chunfen.models.loading import load_model, pick_device, pick_dtype

IDS = torch.tensor([[3, 6, 7, 8, 9, 10]])


def logits(loaded) -> torch.Tensor:
    with torch.inference_mode():
        return loaded.model(IDS.to(loaded.device)).logits.float().cpu()


@pytest.fixture
def copy(tiny_model_dir, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "copy"))


def save_adapter(base: Path, folder: Path, *, seed: int) -> Path:
    """A LoRA that changes something: B is not zero, as it is before training."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    tuned.save_pretrained(folder)
    return folder


def test_a_loaded_model_is_ready_to_be_asked(tiny_model_dir):
    loaded = load_model(str(tiny_model_dir), device="cpu")
    assert not loaded.model.training
    assert next(loaded.model.parameters()).dtype == torch.float32
    assert loaded.tokenizer.pad_token_id == loaded.tokenizer.eos_token_id, "one without padding gets one"
    assert loaded.path == tiny_model_dir
    expected = [0, 3, 6, 1, 0, 4]  # <|im_start|> user hello <|im_end|> <|im_start|> assistant
    assert loaded.chat_ids([("user", "hello")]) == expected


def test_the_number_format_is_a_setting(tiny_model_dir):
    loaded = load_model(str(tiny_model_dir), torch_dtype="bfloat16", device="cpu")
    assert next(loaded.model.parameters()).dtype == torch.bfloat16
    assert pick_dtype("auto", torch.device("cpu")) == torch.float32
    assert pick_dtype("auto", torch.device("cuda")) == torch.bfloat16
    with pytest.raises(SettingError, match="torch_dtype 'int3'"):
        pick_dtype("int3", torch.device("cpu"))


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_here(device):
    with pytest.raises(SettingError, match=f"device '{device}' cannot be used here"):
        pick_device(device)


def test_adapters_are_applied_in_order(tiny_model_dir, tmp_path):
    first = save_adapter(tiny_model_dir, tmp_path / "first", seed=1)
    second = save_adapter(tiny_model_dir, tmp_path / "second", seed=2)
    plain, one, both = (
        load_model(str(tiny_model_dir), adapters=a, device="cpu") for a in ([], [first], [first, second])
    )
    assert not torch.allclose(logits(plain), logits(one))
    assert not torch.allclose(logits(one), logits(both))
    with both.model.disable_adapter():
        merged = logits(both)
    assert torch.allclose(merged, logits(one), atol=1e-5), "the first is merged, the second can be off"
    assert len({plain.fingerprint, one.fingerprint, both.fingerprint}) == 3


def test_an_adapter_of_another_model_is_refused(tiny_model_dir, default_model_dir, tmp_path):
    adapter = save_adapter(tiny_model_dir, tmp_path / "adapter", seed=1)
    with pytest.raises(SettingError, match="does not fit the model"):
        load_model("smollm2-135m-instruct", adapters=[adapter], device="cpu")
    with pytest.raises(SettingError, match="no adapter is there"):
        load_model(str(tiny_model_dir), adapters=[tmp_path], device="cpu")


def test_the_fingerprint_is_of_the_content(tiny_model_dir, copy):
    def of(folder: Path, **settings) -> str:
        return load_model(str(folder), device="cpu", **settings).fingerprint

    original = of(tiny_model_dir)
    assert of(copy) == original, "a copy elsewhere is the same model"
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"transformers_version": "5.0.0"}))
    assert of(copy) == original, "who wrote the config does not matter"
    assert of(copy, system="Be brief.") != original
    assert of(copy, torch_dtype="bfloat16") != original
    (copy / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert of(copy) != original, "another template is another model"


def test_changed_weights_change_the_fingerprint(tiny_model_dir, copy):
    model = AutoModelForCausalLM.from_pretrained(copy)
    before = load_model(str(copy), device="cpu").fingerprint
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1
    model.save_pretrained(copy)
    assert load_model(str(copy), device="cpu").fingerprint != before


def test_pickled_weights_are_not_read(copy):
    model = AutoModelForCausalLM.from_pretrained(copy)
    torch.save(model.state_dict(), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(SettingError, match="safetensors"):
        load_model(str(copy), device="cpu")


def test_code_of_strangers_is_not_run(copy):
    config = json.loads((copy / "config.json").read_text())
    auto = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "stranger", "auto_map": auto}))
    (copy / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(SettingError, match="trust_remote_code"):
        load_model(str(copy), device="cpu")


@pytest.mark.parametrize("content", ["{", '{"model_type": "no-such-architecture"}', "{}"])
def test_a_folder_that_is_no_model_names_itself(copy, content):
    (copy / "config.json").write_text(content)
    with pytest.raises(SettingError, match=str(copy)):
        load_model(str(copy), device="cpu")


def test_damaged_weights_are_one_clear_message(copy):
    (copy / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(SettingError, match=str(copy)):
        load_model(str(copy), device="cpu")


def test_missing_weights_are_not_made_up(copy):
    weights = load_file(copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SettingError, match=r"1 weights are missing, among them model\.layers\.1\.mlp\.up_proj"):
        load_model(str(copy), device="cpu")


def test_an_adapter_that_would_do_nothing_is_refused(tiny_model_dir, tmp_path):
    adapter = save_adapter(tiny_model_dir, tmp_path / "adapter", seed=1)
    weights = load_file(adapter / "adapter_model.safetensors")
    renamed = {name.replace(".layers.", ".blocks."): tensor for name, tensor in weights.items()}
    save_file(renamed, adapter / "adapter_model.safetensors")
    with pytest.raises(SettingError, match="does not fit the model"):
        load_model(str(tiny_model_dir), adapters=[adapter], device="cpu")
