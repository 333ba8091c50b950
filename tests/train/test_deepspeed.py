"""DeepSpeed's ZeRO: what is trained is what is trained without it; configurations; what it cannot do is refused."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from chunfen.errors import SettingError
from chunfen.models.loading import load_model
from chunfen.train.deepspeed.config import completed, own_format, presets, read
from chunfen.train.load import training_dtype
from compat.lines import ZERO_3
from train.stages import STAGES, Killed, settings_of, trained
from train.table import TUNERS

INSTALLED = find_spec("deepspeed") is not None
needs_deepspeed = pytest.mark.skipif(
    not INSTALLED, reason='deepspeed is not installed: pip install "chunfen[deepspeed]"'
)
UNFIT = ("AdaLoRA", "GaLore", "LISA")
ZERO = {"zero_optimization": {"stage": 2}}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v for file in sorted(folder.glob("*.safetensors")) for k, v in load_file(file).items()}


def assert_same(one: Path, other: Path, *, within: float = 0.0) -> None:
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys() and left
    for name, value in left.items():
        assert (value.dtype, value.shape) == (right[name].dtype, right[name].shape)
        torch.testing.assert_close(right[name], value, atol=within, rtol=0)


def with_and_without(stage: str, model: Path, folder: Path, deepspeed: str, *, within: float = 1e-5, **more) -> None:
    """Train with and without, and once more killed in the middle: the same weights come out."""
    more.setdefault("dataset", settings_of(stage, model, folder).dataset)  # the path decides what is held out
    plain, _ = trained(stage, settings_of(stage, model, folder / "plain", **more))
    whole, _ = trained(stage, settings_of(stage, model, folder / "whole", deepspeed=deepspeed, **more))
    assert_same(plain, whole, within=within)
    settings = settings_of(stage, model, folder / "killed", deepspeed=deepspeed, **more)
    with pytest.raises(Killed):
        trained(stage, settings, stop_at=3)
    assert_same(whole, trained(stage, settings)[0])


def configured(folder: Path, config: dict | str) -> str:
    """A file with this configuration."""
    path = folder / "ds.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
    return str(path)


@needs_deepspeed
@pytest.mark.parametrize(
    "name", [n if "offload" not in n else pytest.param(n, marks=pytest.mark.slow) for n in presets()]
)
def test_every_preset_trains_what_is_trained_without_it(tiny_model_dir, tmp_path, name):
    with_and_without("sft", tiny_model_dir, tmp_path, name)


@needs_deepspeed
@pytest.mark.slow
@pytest.mark.parametrize(("stage", "tuner"), [*((stage, "lora") for stage in STAGES), ("sft", "full"), ("dpo", "full")])
def test_every_stage_trains_in_parts(tiny_model_dir, tmp_path, stage, tuner):
    with_and_without(stage, tiny_model_dir, tmp_path, "zero3", tuner_type=tuner)


@needs_deepspeed
@pytest.mark.slow
@pytest.mark.parametrize("tuner", [tuner for tuner in TUNERS if tuner not in UNFIT])
def test_every_other_tuner_trains_in_parts(tiny_model_dir, tmp_path, tuner):
    """LoRA+ with its own optimizer among them, whose learning rate makes 16 times as much of what is rounded."""
    within = 1e-4 if tuner == "LoRA+" else 1e-5
    with_and_without("sft", tiny_model_dir, tmp_path, "zero3", within=within, **TUNERS[tuner])


@needs_deepspeed
@pytest.mark.parametrize(
    ("stage", "more"),
    [
        ("sft", {"streaming": True, "shuffle_buffer_size": 3}),
        ("dpo", {"streaming": True, "per_device_train_batch_size": 2}),
        ("sft", {"packing": True, "max_length": 40}),
        ("sft", {"gradient_checkpointing": True}),
        ("sft", {"split_dataset_ratio": 0.2, "eval_steps": 2}),
    ],
)
def test_all_ways_to_batch_and_to_compute(tiny_model_dir, tmp_path, stage, more):
    with_and_without(stage, tiny_model_dir, tmp_path, "zero3", **more)


@needs_deepspeed
def test_evaluation_gives_the_same_loss(tiny_model_dir, tmp_path):
    more = {
        "split_dataset_ratio": 0.2,
        "eval_steps": 2,
        "dataset": settings_of("sft", tiny_model_dir, tmp_path).dataset,
    }
    found = []
    for name in (None, "zero3"):
        _, run = trained("sft", settings_of("sft", tiny_model_dir, tmp_path / str(name), deepspeed=name, **more))
        found.append([line["eval_loss"] for line in run.metrics() if "eval_loss" in line])
    assert len(found[0]) == 3 and found[1] == pytest.approx(found[0], abs=1e-5)


@needs_deepspeed
def test_matrices_are_multiplied_in_the_format_of_the_settings(tiny_model_dir, tmp_path):
    """The trained weights stay float32 beside frozen ones in bfloat16."""
    with_and_without("sft", tiny_model_dir, tmp_path, "zero2", torch_dtype="bfloat16")


@needs_deepspeed
@pytest.mark.parametrize("stage", [0, 1, 3])
def test_mixed_precision_of_deepspeed_saves_what_its_optimizer_has(tiny_model_dir, tmp_path, stage):
    config = {"bf16": {"enabled": True}, "zero_optimization": {"stage": stage}}
    name = configured(tmp_path, config)
    settings = settings_of("sft", tiny_model_dir, tmp_path, deepspeed=name, torch_dtype="auto", tuner_type="full")
    folder, run = trained("sft", settings)
    found = weights(folder)
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert stage == 0 or any(not torch.equal(value, value.bfloat16().float()) for value in found.values())
    losses = [line["loss"] for line in run.metrics() if "loss" in line]
    assert losses[-1] < 0.9 * losses[0]
    load_model(str(folder))


@needs_deepspeed
@pytest.mark.slow
@pytest.mark.parametrize("tuner", ["lora", "full"])
def test_the_file_of_the_article_where_fp16_can_be_computed(tiny_model_dir, tmp_path, monkeypatch, tuner):
    """A processor without fast fp16 computes it all the same, if DeepSpeed lets it."""
    from deepspeed.accelerator import get_accelerator

    monkeypatch.setattr(type(get_accelerator()), "is_fp16_supported", lambda self: True)
    config = json.loads(ZERO_3) | {"fp16": {"enabled": True, "initial_scale_power": 8}}
    more = {"deepspeed": configured(tmp_path, config), "torch_dtype": "auto", "tuner_type": tuner}
    folder, run = trained("sft", settings_of("sft", tiny_model_dir, tmp_path, max_steps=10, **more))
    losses = [line["loss"] for line in run.metrics() if "loss" in line]
    assert "fp16" not in (run.folder / "log.txt").read_text()
    assert run.manifest["facts"]["deepspeed"]["fp16"]["enabled"] is True
    assert min(losses[-3:]) < 0.95 * losses[0]
    assert {value.dtype for value in weights(folder).values()} == {torch.float32}


@needs_deepspeed
@pytest.mark.slow
@pytest.mark.parametrize("text", [ZERO_3, ZERO_3.replace('"', "")], ids=["as a file", "as a web page prints it"])
def test_the_file_of_the_article_learns_as_the_settings_say(tiny_model_dir, tmp_path, text):
    """The optimizer of the file with the settings' numbers; what is done otherwise than asked for is said."""
    settings = settings_of("sft", tiny_model_dir, tmp_path, deepspeed=configured(tmp_path, text), torch_dtype="auto")
    _, run = trained("sft", settings)
    said = (run.folder / "log.txt").read_text()
    assert "its optimizer AdamW takes the place of optim adamw_torch" in said
    assert "its scheduler WarmupLR takes the place of lr_scheduler_type cosine" in said
    used = run.manifest["facts"]["deepspeed"]
    if not used["fp16"]["enabled"]:
        instead = training_dtype("auto", "cpu")
        assert f"this processor does not compute in fp16; {instead} takes its place" in said
    assert used["optimizer"]["params"] == {"lr": 1e-2, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1}
    assert used["scheduler"]["params"] == {"warmup_min_lr": 0, "warmup_max_lr": 1e-2, "warmup_num_steps": 1}
    assert used["gradient_clipping"] == 1.0
    assert [line["learning_rate"] for line in run.metrics() if "loss" in line][-1] == 1e-2


@needs_deepspeed
def test_an_optimizer_of_the_file_makes_the_same_steps(tiny_model_dir, tmp_path):
    name = configured(tmp_path, ZERO | {"optimizer": {"type": "AdamW", "params": {"torch_adam": True}}})
    with_and_without("sft", tiny_model_dir, tmp_path, name)


@needs_deepspeed
def test_numbers_of_the_file_hold_and_are_said(tiny_model_dir, tmp_path):
    name = configured(tmp_path, ZERO | {"gradient_clipping": 0.01})
    _, run = trained("sft", settings_of("sft", tiny_model_dir, tmp_path / "file", deepspeed=name))
    assert "what the file says holds: max_grad_norm 0.01." in (run.folder / "log.txt").read_text()
    same, _ = trained("sft", settings_of("sft", tiny_model_dir, tmp_path / "plain", max_grad_norm=0.01))
    assert_same(same, run.folder / "adapter", within=1e-5)


@needs_deepspeed
def test_nothing_is_left_of_it_in_the_process(tiny_model_dir, tmp_path):
    plain, _ = trained("sft", settings_of("sft", tiny_model_dir, tmp_path / "plain"))
    before = dict(os.environ)
    trained("sft", settings_of("sft", tiny_model_dir, tmp_path / "ds", deepspeed="zero3"))
    assert dict(os.environ) == before
    assert not torch.distributed.is_initialized()
    after, run = trained("sft", settings_of("sft", tiny_model_dir, tmp_path / "after"))
    assert_same(plain, after)
    assert not list(run.folder.glob("training/checkpoint-*/global_step*"))


@needs_deepspeed
@pytest.mark.parametrize(
    ("config", "more", "said"),
    [
        ("zero2", {"tuner_type": "galore"}, "tuner_type galore needs the gradients of whole matrices"),
        ("zero2", {"tuner_type": "lisa"}, "tuner_type lisa changes which weights are trained"),
        ("zero2", {"tuner_type": "adalora"}, "tuner_type adalora reads and cuts single weights"),
        ("zero2", {"optim": "adafactor"}, "optim adafactor computes with whole matrices"),
        ({"fp16": {"enabled": True}, "bf16": {"enabled": True}}, {}, "simultaneously"),
        ({"bf16": {"enabled": True}}, {}, "asks for bfloat16, and torch_dtype is float32"),
        ({"bf16": {"enable": True}}, {}, "enable Extra inputs"),
        ({"zero_optimization": {"stage": 2, "stge": 3}}, {}, "stge Extra inputs"),
        ({"zero_optimization": {"stage": "many"}}, {}, "stage"),
        ({"optimizer": {"type": "Adamm"}}, {}, "Adamm is not a supported"),
        ({"scheduler": {"type": "Warmup"}}, {}, "does not recognize LR scheduler Warmup"),
        ({"optimizer": {"type": "Adam"}}, {"lorap_lr_ratio": 4.0}, "brings an optimizer, and so does the tuner"),
        ({"optimizer": {"type": "Adam"}}, {"optim": "sgd"}, "brings the optimizer Adam, and optim is sgd"),
        ({"scheduler": {"type": "WarmupLR"}}, {"lr_scheduler_type": "linear"}, "lr_scheduler_type is linear"),
        ({"train_micro_batch_size_per_gpu": 4}, {}, "train_micro_batch_size_per_gpu is 4, and per_device.* is none"),
        ({"optimizer": {"type": "Adam", "params": {"lr": 1e-5}}}, {}, "lr is 1e-05, and learning_rate is 0.01"),
    ],
)
def test_what_cannot_be_done_is_refused(tiny_model_dir, tmp_path, config, more, said):
    name = config if isinstance(config, str) else configured(tmp_path, ZERO | config)
    with pytest.raises(SettingError, match=said):
        trained("sft", settings_of("sft", tiny_model_dir, tmp_path, deepspeed=name, **more))
    assert not torch.distributed.is_initialized()


@pytest.mark.skipif(INSTALLED, reason="deepspeed is installed")
def test_without_the_package_one_line_says_how_to_get_it(tiny_model_dir, tmp_path):
    with pytest.raises(SettingError, match=r'deepspeed zero2: needs a package: pip install "chunfen\[deepspeed\]"\.$'):
        trained("sft", settings_of("sft", tiny_model_dir, tmp_path, deepspeed="zero2"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("zero4", None, "no preset. Did you mean 'zero"),
        ("zero3_ofload", None, "Did you mean 'zero3_offload'"),
        ("dz.json", None, "no such file, and no preset. Did you mean '.*ds.json'"),
        ("ds.json", '{"zero_optimization": {"stage": 3}', "not JSON: .* \\(line 1\\)"),
        ("ds.json", '{"zero_optimisation": {"stage": 3}}', 'no section "zero_optimization"'),
        ("ds.json", "[1, 2]", 'no section "zero_optimization"'),
        ("ds.json", '{"zero_optimization": 3}', "zero_optimization is 3; it is a section"),
        ("ds.json", '{"zero_optimization": {}, "fp16": true}', "fp16 is True; it is a section"),
    ],
)
def test_what_is_no_configuration_is_said(tmp_path, monkeypatch, name, text, said):
    monkeypatch.chdir(tmp_path)
    configured(tmp_path, text or "{}")
    with pytest.raises(SettingError, match=said):
        read(name)


def test_the_article_prints_the_file_with_quotes_or_without(tmp_path):
    with_quotes = read(configured(tmp_path, ZERO_3))
    assert with_quotes["zero_optimization"] == {"stage": 3, "offload_optimizer": {"device": "cpu"}}
    assert read(configured(tmp_path, ZERO_3.replace('"', ""))) == with_quotes


def test_the_presets_are_what_their_names_say():
    for name, config in presets().items():
        zero = config["zero_optimization"]
        assert name.startswith(f"zero{zero['stage']}")
        assert ("offload_optimizer" in zero) == ("offload" in name)
        assert ("offload_param" in zero) == (name == "zero3_offload")


NUMBERS = {"learning_rate": 1e-4, "weight_decay": 0.1, "warmup_steps": 5, "warmup_min_lr": 0, "max_steps": 100}


@pytest.mark.parametrize(
    ("section", "params", "held"),
    [
        ({"optimizer": {"type": "SGD"}}, {"lr": 1e-4, "weight_decay": 0.1}, {}),
        ({"optimizer": {"type": "SGD", "params": {"lr": "auto", "momentum": 0.9}}}, {"momentum": 0.9}, {}),
        ({"optimizer": {"type": "SGD", "params": {"lr": 0.5}}}, {"lr": 0.5}, {"learning_rate": 0.5}),
        ({"scheduler": {"type": "WarmupDecayLR"}}, {"warmup_max_lr": 1e-4, "total_num_steps": 100}, {}),
        ({"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 9}}}, {}, {"warmup_steps": 9}),
        ({"scheduler": {"type": "OneCycle"}}, {}, {}),
    ],
)
def test_gaps_are_filled_and_numbers_hold(section, params, held):
    config, found = completed(section, NUMBERS, ["max_steps"])
    [(part, _)] = section.items()
    assert params.items() <= config[part].get("params", {}).items()
    assert found == held


def test_two_numbers_that_mean_the_same_must_agree():
    section = {
        "optimizer": {"type": "SGD", "params": {"lr": 0.5}},
        "scheduler": {"type": "WarmupLR", "params": {"warmup_max_lr": 0.1}},
    }
    with pytest.raises(SettingError, match=r"warmup_max_lr is 0\.1, and learning_rate is 0\.5"):
        completed(section, NUMBERS, [])


def test_a_switch_is_true_false_or_auto():
    with pytest.raises(SettingError, match="write true, false or"):
        own_format({"fp16": {"enabled": "no"}}, "float32")
