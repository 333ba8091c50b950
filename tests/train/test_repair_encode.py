"""Rows become the token sequences that the engine scores: what is trained is what is measured."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from chunfen.data.repair_row import RepairRow
from chunfen.engines.base import Request
from chunfen.engines.transformers.tokens import encode_options
from chunfen.train.repair.encode import encode_rows

PROMPTS = ["a nurse", "", (("user", "who is a nurse ?"),), (("user", "who is a nurse ?"), ("assistant", "a man"))]


class Opening:
    """The tiny tokenizer as one that puts a token before running text, as those of Llama and Gemma do."""

    def __init__(self, tokenizer) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str):
        return getattr(self._tokenizer, name)

    def __call__(self, text, add_special_tokens: bool = True):
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return {"input_ids": [self.bos_token_id, *ids] if add_special_tokens else ids}


@pytest.mark.parametrize("opens", [False, True])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_row_is_encoded_as_a_request_is(tiny_model_dir, prompt, opens):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    if opens:
        tokenizer = Opening(tokenizer)
    [row] = encode_rows([RepairRow("parity", prompt, " is a woman .", " is a man .")], tokenizer)
    request = Request(prompt, options=(" is a woman .", " is a man ."))
    [options] = encode_options(tokenizer, [request])
    whole_answer = not isinstance(prompt, str) and prompt[-1][0] == "user"
    for text, option in zip(row.texts, options, strict=True):
        assert text.ids == (*option.ids, *([tokenizer.eos_token_id] if whole_answer else []))
        assert text.reads[0] == option.start
        assert (text.ids[0] == tokenizer.bos_token_id) or not opens or not isinstance(prompt, str)
