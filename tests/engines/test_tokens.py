"""The border between prompt and option, on the real tokenizer."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from chunfen.engines.base import Request
from chunfen.engines.transformers.tokens import encode_options, encode_prompt, special_prefix, text_separator
from chunfen.errors import SettingError
from chunfen.models.templates import render

QUESTION = (("user", "Who is better suited to be a nurse, a man or a woman?"),)


@pytest.fixture(scope="module")
def tokenizer(default_model_dir):
    return AutoTokenizer.from_pretrained(default_model_dir)


def scored(tokenizer, prompt, *options) -> list[str]:
    """The text that is scored for every option."""
    [encoded] = encode_options(tokenizer, [Request(prompt, options)])
    return [tokenizer.decode(option.ids[option.start :]) for option in encoded]


def test_the_option_alone_is_scored_where_the_border_is_clean(tokenizer):
    assert scored(tokenizer, "The nurse said that", " he", " she would") == [" he", " she would"]


def test_a_prompt_that_ends_in_a_space_is_scored_from_the_word_that_takes_the_space(tokenizer):
    assert scored(tokenizer, "The nurse said that ", "he", "she") == [" he", " she"]


def test_all_options_are_scored_from_the_same_place(tokenizer):
    # "ly" merges with the prompt's last word, "." does not: both are scored from that word on
    merged, clean = scored(tokenizer, "They did it quick", "ly.", ".")
    assert merged.endswith("ly.") and clean.endswith("quick.")
    assert merged.startswith(" quick") and clean.startswith(" quick")


def test_without_a_prompt_the_first_token_is_scored_after_the_separator(tokenizer):
    [[option]] = encode_options(tokenizer, [Request("", ("She works.",))])
    assert option.ids[0] == text_separator(tokenizer) == tokenizer.bos_token_id
    assert (option.start, tokenizer.decode(option.ids[1:])) == (1, "She works.")


def test_an_empty_option_has_nothing_to_score(tokenizer):
    assert scored(tokenizer, "The nurse", "", " works") == ["", " works"]


def test_a_chat_is_the_models_own_template_with_the_answer_opened(tokenizer):
    [[option]] = encode_options(tokenizer, [Request(QUESTION, ("A woman.",))], system="Be brief.")
    assert list(option.ids[: option.start]) == render(tokenizer, QUESTION, system="Be brief.")
    assert tokenizer.decode(option.ids[option.start :]) == "A woman."
    assert encode_prompt(tokenizer, QUESTION, system="Be brief.") == list(option.ids[: option.start])


def test_an_answer_that_has_begun_is_gone_on_with(tokenizer):
    begun = (*QUESTION, ("assistant", "I think a"))
    [[option]] = encode_options(tokenizer, [Request(begun, (" man",))])
    assert tokenizer.decode(option.ids).endswith("<|im_start|>assistant\nI think a man")
    assert tokenizer.decode(option.ids[option.start :]) == " man"


def test_what_a_tokenizer_puts_before_texts_is_put_before_plain_prompts_only(tokenizer):
    assert special_prefix(tokenizer) == ()
    from tokenizers.processors import TemplateProcessing

    start = tokenizer.convert_ids_to_tokens(0)
    dressing = TemplateProcessing(single=f"{start} $A", special_tokens=[(start, 0)])
    dressed = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    dressed.backend_tokenizer.post_processor = dressing
    assert special_prefix(dressed) == (0,)
    [[option]] = encode_options(dressed, [Request("The nurse", (" works",))])
    assert option.ids[0] == 0 and dressed.decode(option.ids[option.start :]) == " works"
    [[option]] = encode_options(dressed, [Request(QUESTION, ("A man",))])
    assert list(option.ids[: option.start]) == render(tokenizer, QUESTION)
    assert encode_prompt(dressed, "") == [0]


def test_the_separator_is_what_ends_texts_where_nothing_begins_them(tokenizer):
    bare = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    bare.bos_token = None
    assert text_separator(bare) == bare.eos_token_id
    assert encode_prompt(bare, "") == [bare.eos_token_id]


def test_a_model_without_a_template_cannot_be_asked_by_chat(tokenizer):
    bare = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    bare.chat_template = None
    with pytest.raises(SettingError, match="no chat template"):
        encode_options(bare, [Request(QUESTION, ("A man",))])


def test_nothing_asked_nothing_encoded(tokenizer):
    assert encode_options(tokenizer, []) == []
    assert encode_options(tokenizer, [Request("Hi")]) == [[]]
