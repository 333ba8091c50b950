"""Chat templates: the model's own, a system prompt, and models that have none."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from chunfen.errors import SettingError
from chunfen.models.templates import render


@pytest.fixture(scope="module")
def tokenizer(default_model_dir):
    return AutoTokenizer.from_pretrained(default_model_dir)


def test_the_default_models_template(tokenizer):
    ids = render(tokenizer, [("user", "Hi")])
    assert all(isinstance(token, int) for token in ids)
    assert tokenizer.decode(ids) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (
        ids
        == tokenizer.apply_chat_template(
            [{"role": "user", "content": "Hi"}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
    )


def test_a_system_prompt_replaces_the_templates_own(tokenizer):
    text = tokenizer.decode(render(tokenizer, [("user", "Hi")], system="Be brief."))
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n") and "SmolLM" not in text
    own = tokenizer.decode(render(tokenizer, [("system", "Sing."), ("user", "Hi")], system="Be brief."))
    assert "Sing." in own and "Be brief." not in own


def test_a_finished_chat_does_not_open_another_turn(tokenizer):
    ids = render(tokenizer, [("user", "Hi"), ("assistant", "Hello.")], add_generation_prompt=False)
    assert tokenizer.decode(ids).endswith("<|im_start|>assistant\nHello.<|im_end|>\n")


def test_a_base_model_is_refused_with_advice(tiny_model_dir):
    base = AutoTokenizer.from_pretrained(tiny_model_dir)
    base.chat_template = None
    with pytest.raises(SettingError, match=r"no chat template.*--endpoints line,reverse"):
        render(base, [("user", "hello")])
