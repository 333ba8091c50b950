"""Chat templates: the model's own, a system prompt, and models that have none."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from chunfen.errors import DataError, SettingError
from chunfen.models.templates import (
    choose_template,
    give_template,
    marked,
    render,
    require_template,
    template_names,
    turns_of,
    write,
)
from models.tokenizers import byte_level, in_python

CHAT = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello."), ("user", "Bye"), ("assistant", "So long.")]
WRITTEN = {
    "alpaca": "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello.</s>\n\n"
    "### Instruction:\nBye\n\n### Response:\nSo long.</s>\n\n",
    "baichuan": "Be brief.<reserved_102>Hi<reserved_103>Hello.<reserved_102>Bye<reserved_103>So long.</s>",
    "baichuan2": "Be brief.<reserved_106>Hi<reserved_107>Hello.<reserved_106>Bye<reserved_107>So long.</s>",
    "chatglm2": "[gMASK]sop[Round 1]\n\n问：Hi\n\n答：Hello.\n\n[Round 2]\n\n问：Bye\n\n答：So long.</s>",
    "chatglm3": "[gMASK]sop<|system|>\n Be brief.<|user|>\n Hi<|assistant|>\n Hello."
    "<|user|>\n Bye<|assistant|>\n So long.</s>",
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello."
    "<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\nSo long.<|im_end|>\n",
    "deepseek-llm": "<s>Be brief.\n\nUser: Hi\n\nAssistant: Hello.</s>User: Bye\n\nAssistant: So long.</s>",
    "internlm": "<s><|System|>:Be brief.\n<|User|>:Hi\n<|Bot|>:Hello.<eoa>\n<|User|>:Bye\n<|Bot|>:So long.<eoa>\n",
    "llama-2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Bye [/INST] So long. </s>",
    "vicuna": "<s>Be brief. USER: Hi ASSISTANT: Hello.</s>USER: Bye ASSISTANT: So long.</s>",
    "zephyr": "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello.</s>\n"
    "<|user|>\nBye</s>\n<|assistant|>\nSo long.</s>\n",
}
"""What the descriptions of the formats say, letter by letter."""
WRITTEN["qwen"] = WRITTEN["chatml"]


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


def test_a_base_model_is_refused_with_advice_that_fits(tiny_model_dir):
    base = AutoTokenizer.from_pretrained(tiny_model_dir)
    base.chat_template = None
    with pytest.raises(SettingError, match=r"no chat template.*--template alpaca, "):
        render(base, [("user", "hello")])
    with pytest.raises(SettingError, match=r"zephyr\. Or --endpoints line\.$"):
        require_template(base, "Or --endpoints line.")


def test_what_a_template_refuses_is_said():
    tokenizer = byte_level()
    tokenizer.chat_template = "{{ raise_exception('no system prompt, please') }}"
    with pytest.raises(DataError, match="cannot write this conversation: no system prompt, please"):
        render(tokenizer, [("user", "Hi")])


@pytest.mark.parametrize("name", template_names())
def test_a_shipped_template_writes_the_format_as_described(name):
    tokenizer = byte_level()
    give_template(tokenizer, name)
    chat = CHAT[1:] if name == "chatglm2" else CHAT
    assert write(tokenizer, turns_of(chat)) == WRITTEN[name]
    # what the model is asked with begins what it is trained on
    for end in (2, 4) if chat is CHAT else (1, 3):
        assert WRITTEN[name].startswith(write(tokenizer, turns_of(chat[:end]), add_generation_prompt=True))


@pytest.mark.parametrize("name", template_names())
def test_a_shipped_template_marks_answers_with_their_end(name):
    tokenizer = byte_level()
    give_template(tokenizer, name)
    turns = turns_of([turn for turn in CHAT if turn[0] != "system"])
    text = write(tokenizer, turns)
    end = tokenizer.eos_token
    answers = [text[first:last] for first, last in marked(tokenizer, turns)]
    assert [answer.removesuffix(end).strip() for answer in answers] == ["Hello.", "So long."]
    ended_by_the_next_turn = name in ("baichuan", "baichuan2", "chatglm2", "chatglm3")
    assert [answer.endswith(end) for answer in answers] == [not ended_by_the_next_turn, True]


@pytest.mark.parametrize("name", template_names())
def test_a_shipped_template_loses_nothing(name):
    tokenizer = byte_level()
    give_template(tokenizer, name)
    turns = turns_of([("user", "Hi"), ("assistant", "Yes.")])
    call = {"type": "function", "function": {"name": "add", "arguments": {}}}
    for refused in ([*turns, {"role": "tool", "content": "2"}], [turns[0], turns[1] | {"tool_calls": [call]}]):
        with pytest.raises(DataError, match="no place for tools"):
            write(tokenizer, refused)
    with pytest.raises(DataError, match="no place for tools"):
        write(tokenizer, turns, tools=[{"type": "function", "function": {"name": "add"}}])
    with pytest.raises(DataError, match=r"come first|no place for a system prompt"):
        write(tokenizer, [*turns, {"role": "system", "content": "Sing."}])


def test_the_first_qwen_and_vicuna_have_a_system_prompt_of_their_own():
    tokenizer = byte_level()
    give_template(tokenizer, "qwen")
    text = write(tokenizer, turns_of(CHAT[1:2]))
    assert text.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n")
    give_template(tokenizer, "vicuna")
    assert write(tokenizer, turns_of(CHAT[1:2])).startswith("<s>A chat between a curious user and an artificial")


def test_a_given_template_says_how_answers_end():
    tokenizer = byte_level()
    give_template(tokenizer, "zephyr")
    assert tokenizer.eos_token == "</s>"
    give_template(tokenizer, "chatml")
    assert tokenizer.eos_token == "<|im_end|>"


def test_a_template_that_does_not_fit_is_refused():
    with pytest.raises(SettingError, match=r"'chatlm' is not known\. Did you mean .*'chatml'.*It takes: alpaca"):
        give_template(byte_level(), "chatlm")
    bare = in_python()
    bare.bos_token = None
    with pytest.raises(SettingError, match="writes the bos_token"):
        give_template(bare, "vicuna")
    assert bare.chat_template is None


def test_tokens_that_a_model_does_not_know_are_refused(tiny_model_dir):
    of_words = AutoTokenizer.from_pretrained(tiny_model_dir)  # which takes any word it does not know for one token
    before = of_words.chat_template
    for tokenizer, name in ((byte_level(special=()), "chatml"), (of_words, "internlm")):
        with pytest.raises(SettingError, match=f"template '{name}' writes <.*, which is no token of model"):
            give_template(tokenizer, name)
    assert of_words.chat_template == before


def test_what_is_asked_for_goes_before_the_tokenizers_own_and_that_before_the_catalogs(tokenizer, default_model_dir):
    own = AutoTokenizer.from_pretrained(default_model_dir)
    before = own.chat_template
    choose_template(own, None, "vicuna")
    assert own.chat_template == before
    choose_template(own, "chatml", None)
    assert own.chat_template != before
    bare = byte_level()
    choose_template(bare, None, None)
    assert bare.chat_template is None
    choose_template(bare, None, "vicuna")
    assert "ASSISTANT" in bare.chat_template
