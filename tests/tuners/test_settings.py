"""Wrong settings: each error names what is wrong, before anything heavy is done where that can be."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from chunfen.errors import SettingError
from chunfen.settings.resolve import resolve
from chunfen.settings.tuner import TUNER_TYPES, RepairTunerSettings, TunerSettings
from chunfen.tuners import TUNERS
from chunfen.tuners.base import COMMON, Tuner
from engines.families import tiny


def made(**settings) -> Tuner:
    given = TunerSettings(**settings)
    return TUNERS[given.tuner_type](tiny("llama"), given)


def test_every_name_has_a_method_and_every_setting_an_owner():
    heeded = set(COMMON).union(*(TUNERS[name].options for name in TUNER_TYPES))
    assert list(TUNERS) == sorted(TUNER_TYPES)
    assert heeded == set(TunerSettings.model_fields)


def test_a_wrong_name_is_refused_at_once_and_nothing_heavy_is_imported():
    code = (
        "import sys\nfrom chunfen.errors import SettingError\nfrom chunfen.settings.tuner import TunerSettings\n"
        "try: TunerSettings(tuner_type='lorra')\nexcept SettingError as error: print(error)\n"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.perf_counter() - started < 2, "most of it is the start of Python"
    assert "tuner_type 'lorra' is not known. Did you mean 'lora'" in done.stdout
    assert all(name in TunerSettings.model_fields["tuner_type"].description for name in TUNER_TYPES)


def test_a_plugin_registers_like_a_built_in_method(tmp_path, monkeypatch):
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[chunfen.tuner]\nmine = mine_tuner:Mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert TunerSettings(tuner_type="mine").tuner_type == "mine"
    with pytest.raises(SettingError, match="tuner_type 'main' is not known"):
        TunerSettings(tuner_type="main")


def test_settings_as_they_are_typed():
    given = {"quant_bits": "4", "reft_layers": ["0,2"], "lorap_lr_ratio": "16", "adalora_tinit": "none"}
    settings = resolve(TunerSettings, None, given).settings
    assert (settings.quant_bits, settings.reft_layers, settings.lorap_lr_ratio) == (4, (0, 2), 16.0)
    with pytest.raises(SettingError, match="--quant_bits: '5' is not accepted; it takes 4, 8 or none"):
        resolve(TunerSettings, None, {"quant_bits": "5"})
    with pytest.raises(SettingError, match="--reft_positions: 'l4' is not accepted"):
        resolve(TunerSettings, None, {"reft_positions": "l4"})


def test_a_repair_has_defaults_of_its_own():
    settings = RepairTunerSettings()
    assert (settings.lora_rank, settings.lora_alpha, settings.lora_dropout) == (16, 64, 0)
    assert TUNERS["lora"](tiny("llama"), settings).model.active_peft_config.target_modules == {"o_proj", "down_proj"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"tuner_type": "full", "lora_rank": 3},
            "lora_rank 3 does nothing with tuner_type full. It belongs to .* lora",
        ),
        ({"tuner_type": "lora", "lisa_step_interval": 3}, "lisa_step_interval 3 .* belongs to tuner_type lisa"),
        ({"tuner_type": "vera", "use_dora": True}, "use_dora True does nothing with tuner_type vera"),
        ({"tuner_type": "full", "quant_bits": 4}, "quant_bits 4 does nothing with tuner_type full"),
        ({"target_modules": ("q_prj",)}, "target_modules 'q_prj': .* Did you mean 'q_proj'"),
        ({"target_modules": ("all-linear", "lm_head")}, "target_modules 'all-linear': .* all-linear or residual alone"),
        ({"init_weights": "loftq"}, "init_weights loftq makes up for quant_bits 4, but quant_bits is None"),
        ({"init_weights": "pissa", "use_dora": True}, "init_weights pissa and use_dora true"),
        ({"init_weights": "pissa", "quant_bits": 4}, "init_weights pissa .*quant_bits"),
        ({"init_weights": "olora", "modules_to_save": ("lm_head",)}, "init_weights olora and modules_to_save"),
        ({"tuner_type": "adalora", "adalora_init_r": 4}, "adalora_init_r 4 must be above adalora_target_r 8"),
        ({"tuner_type": "boft", "boft_block_size": 5}, "tuner_type boft with .*boft_block_size 5"),
        ({"tuner_type": "boft", "boft_n_butterfly_factor": 2}, "boft_n_butterfly_factor 2 takes a CUDA extension"),
        ({"tuner_type": "freeze", "freeze_parameters_ratio": 1}, "freeze_parameters_ratio 1.0 leaves nothing to train"),
        (
            {"tuner_type": "freeze", "trainable_parameters": ("lm_haed.weight",)},
            "trainable_parameters 'lm_haed.weight': .* Did you mean 'lm_head.weight'",
        ),
        ({"tuner_type": "lisa", "lisa_activated_layers": 4}, "lisa_activated_layers 4: the model has 3 layers"),
        ({"tuner_type": "galore"}, "galore_rank 128: no layer is wider than that"),
        ({"tuner_type": "llamapro"}, "llamapro_num_new_blocks 4: the model has 3 layers"),
        ({"tuner_type": "reft", "reft_layers": (0, 3)}, "reft_layers 0 3: the model has the layers 0 to 2"),
        ({"tuner_type": "reft", "reft_rank": 33}, "reft_rank 33: hidden states have 32 dimensions"),
    ],
)
def test_what_makes_no_sense_is_named(settings, message):
    with pytest.raises(SettingError, match=message):
        made(**settings)


@pytest.mark.parametrize(("first", "second"), [("reft", "lora"), ("lora", "reft"), ("lora", "full"), ("lora", "vera")])
def test_an_adapter_of_another_kind_is_not_built_upon(first, second):
    model = made(tuner_type=first).model
    with pytest.raises(SettingError, match="adapters: "):
        TUNERS[second](model, TunerSettings(tuner_type=second))


def test_layers_that_nobody_can_find_are_named():
    model = tiny("llama")
    model.config.num_hidden_layers = 7
    with pytest.raises(SettingError, match="LlamaForCausalLM has no stack of 7 layers"):
        TUNERS["reft"](model, TunerSettings(tuner_type="reft"))
