"""What training learns of a conversation, by the templates of real tokenizers."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from chunfen.data.encode import encode_row, written
from chunfen.data.formats import to_row
from chunfen.errors import DataError, SettingError

CHAT = {
    "messages": [
        {"role": "user", "content": "Wer ist da? 你好！"},
        {"role": "assistant", "content": " Hello 春分 🙂 "},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "Bye.\n"},
    ]
}
GENERATED = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{{ m.content.split('</think>')[-1] if not loop.last else m.content }}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""A template that leaves out earlier reasoning, as those of reasoning models do."""


@pytest.fixture(scope="module")
def tokenizer(default_model_dir):
    return AutoTokenizer.from_pretrained(default_model_dir)


def learned(tokenizer, row, **how) -> list[str]:
    """The stretches of text that are learned."""
    found = encode_row(row, tokenizer, **how)
    stretches: list[list[int]] = [[]]
    for token, is_learned in zip(found.ids, found.learned, strict=True):
        if is_learned:
            stretches[-1].append(token)
        elif stretches[-1]:
            stretches.append([])
    return [tokenizer.decode(ids) for ids in stretches if ids]


def test_the_tokens_are_those_of_the_template(tokenizer):
    found = encode_row(to_row(CHAT), tokenizer)
    theirs = tokenizer.apply_chat_template(CHAT["messages"], tokenize=True, return_dict=True)["input_ids"]
    assert list(found.ids) == theirs
    assert written(to_row(CHAT), tokenizer)[0] == tokenizer.apply_chat_template(CHAT["messages"], tokenize=False)


def test_answers_are_learned_with_the_token_that_ends_them_and_nothing_else(tokenizer):
    row = to_row(CHAT)
    assert learned(tokenizer, row) == [" Hello 春分 🙂 <|im_end|>", "Bye.\n<|im_end|>"]
    assert learned(tokenizer, row, learn="last") == ["Bye.\n<|im_end|>"]


def test_a_message_can_say_for_itself(tokenizer):
    turns = [dict(turn) for turn in CHAT["messages"]]
    turns[1]["loss"], turns[3]["loss"] = True, False
    assert learned(tokenizer, to_row({"messages": turns}), learn="last") == [" Hello 春分 🙂 <|im_end|>"]


def test_a_system_prompt_is_put_first_but_not_over_another(tokenizer):
    row = to_row({"query": "Hi", "response": "Yes"})
    text, _ = written(row, tokenizer, system="Be brief.")
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>")
    own = to_row({"query": "Hi", "response": "Yes", "system": "Sing."})
    assert "Be brief." not in written(own, tokenizer, system="Be brief.")[0]


def test_a_prompt_teaches_nothing_and_a_text_everything(tokenizer):
    assert learned(tokenizer, to_row({"query": "Hi"})) == []
    assert learned(tokenizer, to_row({"text": "A nice day."})) == ["A nice day.<|im_end|>"]


def test_an_answer_that_is_rewritten_later_is_not_guessed_at(default_model_dir):
    tokenizer = AutoTokenizer.from_pretrained(default_model_dir)
    tokenizer.chat_template = GENERATED
    turns = [dict(turn) for turn in CHAT["messages"]]
    turns[1]["content"] = "<think>Hm.</think>Hello"
    row = to_row({"messages": turns})
    with pytest.raises(DataError, match="writes message 2 otherwise"):
        encode_row(row, tokenizer)
    assert learned(tokenizer, row, learn="last") == ["Bye.\n<|im_end|>"]


def test_a_model_without_a_template_is_refused(tokenizer, default_model_dir):
    bare = AutoTokenizer.from_pretrained(default_model_dir)
    bare.chat_template = None
    with pytest.raises(SettingError, match="no chat template"):
        encode_row(to_row(CHAT), bare)
