"""The catalog's shapes: as many weights as the catalog says, and nothing fetched."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig

from chunfen.errors import SettingError
from chunfen.models import catalog
from chunfen.models.shapes import already_here, build, config_of, shapes

TEXT = [name for name, spec in catalog().items() if spec.kind == "text"]


def test_every_text_model_has_a_shape_and_nothing_else_has():
    assert set(shapes()) == set(TEXT)


@pytest.mark.parametrize("name", TEXT)
def test_a_shape_has_as_many_weights_as_the_catalog_says(name, own_cache):
    with torch.device("meta"):
        model = build(config_of(name), torch.bfloat16)
    count = sum(weight.numel() for weight in model.parameters()) / 1e6
    assert count == pytest.approx(catalog()[name].parameters, rel=0.01)
    assert not any(own_cache.iterdir())


@pytest.mark.parametrize("name", TEXT)
def test_the_shape_is_of_the_architecture_or_of_one_with_the_same_weights(name, own_cache):
    architecture, config = catalog()[name].architecture, config_of(name)
    with torch.device("meta"):
        built = type(build(config, torch.bfloat16)).__name__
    own_code = {"QWenLMHeadModel", "BaichuanForCausalLM", "ChatGLMModel", "InternLMForCausalLM"}
    assert built == architecture or architecture in own_code
    assert config.max_position_embeddings >= 2048


def test_the_default_models_shape_is_that_of_its_own_config(default_model_dir, own_cache):
    theirs, ours = AutoConfig.from_pretrained(default_model_dir), config_of("smollm2-135m-instruct")
    for field in shapes()["smollm2-135m-instruct"]:
        assert getattr(ours, field) == getattr(theirs, field), field


def test_a_folder_says_for_itself(tiny_model_dir):
    assert config_of(str(tiny_model_dir)).hidden_size == 16
    assert already_here(str(tiny_model_dir)) == tiny_model_dir


def test_what_is_neither_here_nor_in_the_catalog_has_no_shape(own_cache):
    assert already_here("some-org/some-model") is None
    with pytest.raises(
        SettingError, match="not known before it is fetched: chunfen models download some-org/some-model"
    ):
        config_of("some-org/some-model")


def test_a_model_with_another_head():
    with torch.device("meta"):
        model = build(config_of("qwen3-0.6b"), torch.bfloat16, outputs=3)
    assert model.score.weight.shape == (3, 1024) and model.score.weight.is_meta
