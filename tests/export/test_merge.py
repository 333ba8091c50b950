"""A merged folder is the model with its adapters on; what cannot be merged is refused and leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LNTuningConfig, LoHaConfig, OFTConfig, PromptTuningConfig, VeraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from chunfen.errors import ChunfenError, SettingError
from chunfen.export.check import compare
from chunfen.export.merge import merge
from chunfen.runs.files import sha256
from chunfen.settings.merge import MergeCommand
from export.conftest import adapter_logits, lora, plain_logits

ADAPTERS = {
    "lora": lora(),
    "rslora": lora(use_rslora=True, lora_alpha=3),
    "dora": lora(use_dora=True),
    "ia3": IA3Config(task_type="CAUSAL_LM"),
    "vera": VeraConfig(r=4),
    "ln": LNTuningConfig(task_type="CAUSAL_LM"),
    "embedding": lora("wte", "embed_tokens"),
    "embedding-tied": lora("wte", "embed_tokens", ensure_weight_tying=True),
    "head": lora("c_attn", "q_proj", modules_to_save=["lm_head"]),
    "tokens": lora("c_attn", "q_proj", trainable_token_indices=[3, 8]),
    "biases": lora("c_attn", "q_proj", bias="all"),
}
LINEAR_ONLY = {"loha": LoHaConfig(r=4, target_modules="all-linear"), "oft": OFTConfig(r=0, oft_block_size=4)}


def command(base: Path, output: Path, *adapters: Path, **more: Any) -> MergeCommand:
    return MergeCommand(model=str(base), output=output, adapters=tuple(map(str, adapters)), **more)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "adapters")


@pytest.mark.parametrize("kind", ["llama", "llama-tied", "qwen2", "gpt2"])
@pytest.mark.parametrize("method", ADAPTERS)
def test_a_merged_model_is_the_model_with_the_adapter_on(kind, method, make_model, make_adapter, tmp_path):
    base = make_model(kind)
    adapter = make_adapter(base, ADAPTERS[method])
    made = merge(command(base, tmp_path / "out", adapter))
    wanted, merged = adapter_logits(base, adapter), plain_logits(tmp_path / "out")
    assert (wanted - merged).abs().max() < 1e-4
    assert (wanted - plain_logits(base)).abs().max() > 0.05
    assert made.record["check"]["greatest_difference"] < 1e-4
    assert left(tmp_path) == ["out"]


@pytest.mark.parametrize("method", LINEAR_ONLY)
def test_other_methods_of_peft_merge_where_the_layers_allow_it(method, make_model, make_adapter, tmp_path):
    adapter = make_adapter(make_model("llama"), LINEAR_ONLY[method])
    merge(command(make_model("llama"), tmp_path / "out", adapter))
    assert (adapter_logits(make_model("llama"), adapter) - plain_logits(tmp_path / "out")).abs().max() < 1e-4


def test_adapters_of_different_kinds_merge_one_after_the_other(make_model, make_adapter, tmp_path):
    base = make_model("qwen2")
    one, other = make_adapter(base, lora(r=2)), make_adapter(base, ADAPTERS["ia3"], name="b")
    merge(command(base, tmp_path / "out", one, other))
    merged = plain_logits(tmp_path / "out")
    assert (adapter_logits(base, one, other) - merged).abs().max() < 1e-4
    assert (adapter_logits(base, other, one) - merged).abs().max() > 0.01


def test_the_folder_is_a_whole_model_with_a_record_of_what_it_was_made_of(make_model, make_adapter, tmp_path):
    base, out = make_model("llama"), tmp_path / "out"
    adapter = make_adapter(base, lora())
    merge(command(base, out, adapter))
    before, after = AutoTokenizer.from_pretrained(base), AutoTokenizer.from_pretrained(out)
    assert after.chat_template == before.chat_template is not None
    assert after.get_vocab() == before.get_vocab() and after.pad_token == before.pad_token
    assert GenerationConfig.from_pretrained(out).eos_token_id == 1
    record = json.loads((out / "merge.json").read_text(encoding="utf-8"))
    assert record["adapters"][0]["path"] == str(adapter) and record["adapters"][0]["kind"] == "LORA"
    assert record["versions"]["peft"] and record["method"] == "sequential" and record["dtype"] == "float32"
    assert record["files"] == {p.name: sha256(p) for p in out.iterdir() if p.name != "merge.json"}
    assert "model.safetensors" in record["files"]


def test_half_precision_and_shards(make_model, make_adapter, tmp_path):
    base, out = make_model("llama"), tmp_path / "out"
    adapter = make_adapter(base, lora())
    made = merge(command(base, out, adapter, torch_dtype="bfloat16", max_shard_size="20KB"))
    assert len(list(out.glob("model-*.safetensors"))) > 1
    assert all(
        tensor.dtype == torch.bfloat16 for file in out.glob("*.safetensors") for tensor in load_file(file).values()
    )
    difference = made.record["check"]["greatest_difference"]
    assert 1e-4 < difference < 0.04 * made.record["check"]["greatest_logit"]
    coarse = merge(command(base, tmp_path / "two", adapter, torch_dtype="bfloat16", merge_dtype="written"))
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "two").dtype == torch.bfloat16
    assert coarse.record["check"]["greatest_difference"] > difference


def test_auto_keeps_the_number_format_of_the_base(make_model, make_adapter, tmp_path):
    base = tmp_path / "adapters" / "half"
    AutoModelForCausalLM.from_pretrained(make_model("llama"), dtype=torch.bfloat16).save_pretrained(base)
    AutoTokenizer.from_pretrained(make_model("llama")).save_pretrained(base)
    merge(command(base, tmp_path / "out", make_adapter(base, lora())))
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.bfloat16


def test_a_quantised_base_becomes_a_plain_model(make_model, make_adapter, tmp_path, caplog):
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    plain, base, out = make_model("llama", hidden_size=64), tmp_path / "adapters" / "q4", tmp_path / "out"
    four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    AutoModelForCausalLM.from_pretrained(plain, quantization_config=four_bits).save_pretrained(base)
    AutoTokenizer.from_pretrained(plain).save_pretrained(base)
    adapter = make_adapter(plain, lora())
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(base)}))
    made = merge(command(base, out, adapter))
    assert "is quantised" in caplog.text and made.record["dequantized"] >= 0
    assert "quantization_config" not in json.loads((out / "config.json").read_text(encoding="utf-8"))
    dense = tmp_path / "adapters" / "dense"
    AutoModelForCausalLM.from_pretrained(base).dequantize().save_pretrained(dense)
    AutoTokenizer.from_pretrained(base).save_pretrained(dense)
    assert (plain_logits(out) - adapter_logits(dense, adapter)).abs().max() < 1e-4
    assert (plain_logits(dense) - plain_logits(plain)).abs().max() > 1e-3


def test_an_adapter_of_another_model_is_refused(make_model, make_adapter, tmp_path):
    base = make_model("llama")
    cases = {
        "wide": (make_model("llama", hidden_size=64), "does not fit th"),
        "deep": (make_model("llama", num_hidden_layers=5), "does not fit th"),
        "other": (make_model("llama", initializer_range=0.2), "was trained on"),
        "family": (make_model("gpt2"), "does not fit th"),
    }
    for name, (trained_on, why) in cases.items():
        adapter = make_adapter(trained_on, lora(), name=name)
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        if name != "other":  # so that shapes alone can tell
            config["base_model_name_or_path"] = "/gone"
            (adapter / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        with pytest.raises(SettingError, match=why):
            merge(command(base, tmp_path / "out", adapter))
    assert left(tmp_path) == []


def test_hub_names_of_bases_are_compared(make_adapter, make_model):
    from chunfen.export.adapters import check_base, read_adapter
    from chunfen.models.catalog import resolve

    adapter = make_adapter(make_model("llama"), lora())
    spec = resolve("smollm2-135m-instruct")

    def trained_on(name: str) -> None:
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": name}))
        check_base(read_adapter(str(adapter)), spec, Path("/cache/smollm2"))

    trained_on("HuggingFaceTB/SmolLM2-135M-Instruct")
    trained_on("mirror/smollm2-135m-instruct")
    trained_on("/cache/smollm2")
    with pytest.raises(SettingError, match=r"trained on 'HuggingFaceTB/SmolLM2-135M', not on 'smollm2-135m-instruct'"):
        trained_on("HuggingFaceTB/SmolLM2-135M")


PROMPTS = PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")


@pytest.mark.parametrize(
    ("config", "more", "why"),
    [
        (PROMPTS, {}, "changes no weight of the model"),
        (lora(), {"weights": (1.0,)}, "full strength"),
        (lora(), {"density": 0.5}, "keeps every change"),
        (lora(), {"system": "Be brief."}, "no part in a merge"),
        (lora(), {"max_shard_size": "big"}, "500MB"),
        (lora(), {"router_data": ("instructions-en",)}, "for --to_moe"),
        (lora(), {"merge_method": "linear", "weights": (0.5, 0.5)}, "2 are given for 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    config, more, why, make_model, make_adapter, tmp_path
):
    with pytest.raises(SettingError, match=why):
        merge(command(make_model("llama"), tmp_path / "out", make_adapter(make_model("llama"), config), **more))
    assert left(tmp_path) == []


def test_no_adapter_no_output_and_adapters_that_undo_each_other(make_model, make_adapter, tmp_path):
    base = make_model("llama")
    one, other = (make_adapter(base, ADAPTERS["head"], name=name) for name in "ab")
    with pytest.raises(SettingError, match="both bring a whole lm_head"):
        merge(command(base, tmp_path / "out", one, other))
    with pytest.raises(SettingError, match="given twice"):
        merge(command(base, tmp_path / "out", one, one))
    with pytest.raises(SettingError, match="adapters: name"):
        merge(command(base, tmp_path / "out"))
    with pytest.raises(SettingError, match="--output"):
        merge(MergeCommand(model=str(base), adapters=(str(one),)))
    with pytest.raises(SettingError, match="no adapter is there"):
        merge(command(base, tmp_path / "out", tmp_path))
    config = json.loads((one / "adapter_config.json").read_text(encoding="utf-8"))
    (one / "adapter_config.json").write_text(json.dumps(config | {"task_type": "SEQ_CLS"}), encoding="utf-8")
    with pytest.raises(SettingError, match="SEQ_CLS"):
        merge(command(base, tmp_path / "out", one))
    (one / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "REFT"}), encoding="utf-8")
    with pytest.raises(SettingError, match=r"adapter_config.json cannot be read: .*REFT"):
        merge(command(base, tmp_path / "out", one))
    assert left(tmp_path) == []


def test_edits_of_hidden_states_are_refused_with_the_reason(make_model, make_adapter, tmp_path):
    from chunfen.settings.tuner import TunerSettings
    from chunfen.tuners import TUNERS

    base, reft = make_model("llama"), tmp_path / "adapters" / "reft"
    TUNERS["reft"](AutoModelForCausalLM.from_pretrained(base), TunerSettings(tuner_type="reft")).save(reft)
    with pytest.raises(SettingError, match="ReFT edits hidden states"):
        merge(command(base, tmp_path / "out", reft))
    with pytest.raises(SettingError, match=r"\(REFT\) are of different kinds"):
        merge(command(base, tmp_path / "out", make_adapter(base, lora()), reft, merge_method="linear"))
    assert left(tmp_path) == []


def test_nothing_is_overwritten(make_model, make_adapter, tmp_path):
    base, out = make_model("llama"), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SettingError, match="exists"):
        merge(command(base, out, make_adapter(base, lora())))
    assert left(out) == ["mine.txt"]


def test_a_broken_adapter_leaves_nothing(make_model, make_adapter, tmp_path):
    base = make_model("llama")
    adapter = make_adapter(base, lora())
    weights = load_file(adapter / "adapter_model.safetensors")
    next(iter(weights.values())).fill_(float("nan"))
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(ChunfenError, match="not finite"):
        merge(command(base, tmp_path / "out", adapter))
    assert left(tmp_path) == []


def test_logits_that_differ_by_more_than_rounding_are_an_error():
    wanted = torch.tensor([[1.0, -20.0]])
    assert compare(wanted, wanted + 1e-3, 1e-4, "it") == pytest.approx(1e-3, rel=0.01)
    for made in (wanted + 0.01, torch.full_like(wanted, float("nan"))):
        with pytest.raises(ChunfenError, match="it: logits are off by"):
            compare(wanted, made, 1e-4, "it")


@pytest.mark.slow
def test_the_default_model_with_a_lora_of_a_few_steps(default_model_dir, tmp_path):
    from peft import get_peft_model

    torch.manual_seed(0)
    model, tokenizer = (c.from_pretrained(default_model_dir) for c in (AutoModelForCausalLM, AutoTokenizer))
    tuned = get_peft_model(model, lora(r=8, lora_alpha=32))
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=2e-3)
    ids = tokenizer("The nurse said that he would be home by noon.", return_tensors="pt")["input_ids"]
    for _ in range(3):
        tuned(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    tuned.eval().save_pretrained(tmp_path / "adapters" / "a")
    with torch.no_grad():
        wanted = tuned(input_ids=ids).logits
    made = merge(MergeCommand(output=tmp_path / "out", adapters=(str(tmp_path / "adapters" / "a"),)))
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        assert (merged(input_ids=ids).logits - wanted).abs().max() < 2e-3
    check = made.record["check"]
    assert check["greatest_change"] > 0.5
    assert check["greatest_difference"] < 0.02 * check["greatest_change"]  # tokens drawn at random round the most
