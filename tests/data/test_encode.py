"""What training learns of a conversation, by the templates of real tokenizers."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from chunfen.data.encode import encode_row, written
from chunfen.data.formats import to_row
from chunfen.data.row import Message, Row
from chunfen.errors import DataError, SettingError
from chunfen.models.templates import give_template, template_names
from models.tokenizers import SPECIAL, byte_level, in_python, metaspace

CHAT = {
    "messages": [
        {"role": "user", "content": "Wer ist da? 你好！"},
        {"role": "assistant", "content": " Hello 春分 🙂 "},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "Bye.\n"},
    ]
}
CALL = (
    Message("user", "1+1?"),
    Message("assistant", "", tool_calls=({"name": "add", "arguments": {"a": 1}},)),
    Message("tool", "2"),
    Message("assistant", "2."),
)
OPEN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
STRIPPED = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{{ m.content.split('</think>')[-1] if not loop.last else m.content }}{{ '<|im_end|>\n' }}{% endfor %}" + OPEN
)
"""A template that leaves out earlier reasoning, as those of reasoning models do."""
EMPTY_THOUGHT = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if loop.last and m.role == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content }}{% for c in m.tool_calls %}{{ '[' + c.function.name + ']' }}{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}" + OPEN
)
"""A template that puts an empty thought before the last answer only, as Qwen3's does."""
ENDED_ONCE = (
    "{% for m in messages %}{{ '<|im_start|>' if m.role == 'user' else '\n' }}{{ m.content }}"
    "{% if loop.last and m.role != 'user' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n' }}{% endif %}"
)
"""A template that ends the last answer with a token, and earlier ones by the next turn."""
OPENED = STRIPPED.replace("<|im_start|>assistant\n'", "<|im_start|>assistant\n<think>\n'")
"""A template that opens reasoning, which an answer need not have."""
MARKED = STRIPPED.replace(
    "{{ m.content.split('</think>')[-1] if not loop.last else m.content }}{{ '<|im_end|>\n' }}",
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content.split('</think>')[-1] + '<|im_end|>\n' }}"
    "{% endgeneration %}{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}",
)
"""A template that leaves out all reasoning, and says itself what the answers are."""


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
    tokenizer.chat_template = STRIPPED
    turns = [dict(turn) for turn in CHAT["messages"]]
    turns[1]["content"] = "<think>Hm.</think>Hello"
    row = to_row({"messages": turns})
    with pytest.raises(DataError, match="writes answer 1 otherwise"):
        encode_row(row, tokenizer)
    assert learned(tokenizer, row, learn="last") == ["Bye.\n<|im_end|>"]


@pytest.fixture
def other(default_model_dir):
    """The same tokenizer, for tests that give it another template."""
    return AutoTokenizer.from_pretrained(default_model_dir)


def test_an_answer_that_begins_otherwise_when_it_is_the_last_one_is_found(other):
    other.chat_template = EMPTY_THOUGHT
    thought = "<think>\n\n</think>\n\n"
    assert learned(other, to_row(CHAT)) == [" Hello 春分 🙂 <|im_end|>", f"{thought}Bye.\n<|im_end|>"]
    assert learned(other, Row(CALL)) == ["[add]<|im_end|>", f"{thought}2.<|im_end|>"]


def test_an_answer_that_only_the_next_turn_ends_is_found(other):
    other.chat_template = ENDED_ONCE
    assert learned(other, to_row(CHAT)) == [" Hello 春分 🙂 ", "Bye.\n<|im_end|>"]


def test_an_answer_without_the_reasoning_that_the_template_opens_is_found(other):
    other.chat_template = OPENED
    assert learned(other, to_row(CHAT)) == [" Hello 春分 🙂 <|im_end|>", "Bye.\n<|im_end|>"]
    turns = [dict(turn) for turn in CHAT["messages"]]
    turns[3]["content"] = "<think>\nHm.</think>Bye."
    assert learned(other, to_row({"messages": turns}), learn="last") == ["Hm.</think>Bye.<|im_end|>"]


def test_what_the_template_marks_is_learned_whatever_it_leaves_out(other):
    other.chat_template = MARKED
    turns = [dict(turn) for turn in CHAT["messages"]]
    turns[1]["content"] = "<think>Hm.</think>Hello"
    assert learned(other, to_row({"messages": turns})) == ["Hello<|im_end|>", "Bye.\n<|im_end|>"]
    assert learned(other, to_row({"messages": turns}), learn="last") == ["Bye.\n<|im_end|>"]


def test_a_rejected_answer_is_the_end_of_its_own_conversation(tokenizer):
    row = to_row({"query": "Hi", "response": "Yes", "rejected_response": "No"})
    assert learned(tokenizer, row, learn="last") == ["Yes<|im_end|>"]
    assert learned(tokenizer, replace(row, messages=row.rejected), learn="last") == ["No<|im_end|>"]


PIECES = ["", " ", "\n", "Hi", "hello!", "春分", "🙂", "é", "<b>", "[x]", "a b", "\t", "...", "4", "</p>", "：", "###"]


def conversation(draw: random.Random, with_system: bool) -> Row:
    """Turns of any text, in order, the answers not blank."""

    def said() -> str:
        return "".join(draw.choices(PIECES, k=draw.randint(1, 8)))

    turns = [Message("system", said())] if with_system and draw.random() < 0.5 else []
    for _ in range(draw.randint(1, 4)):
        turns += [Message("user", said()), Message("assistant", said() + draw.choice(["Yes", "好"]) + said())]
    return Row(tuple(turns))


@pytest.mark.parametrize("kind", [byte_level, metaspace, in_python])
@pytest.mark.parametrize("name", template_names())
def test_any_conversation_in_any_shipped_template(name, kind):
    tokenizer, draw = kind(), random.Random(name)
    give_template(tokenizer, name)
    for _ in range(10):
        row = conversation(draw, with_system=name != "chatglm2")
        turns = [{"role": message.role, "content": message.content} for message in row.messages]
        theirs = tokenizer.apply_chat_template(
            turns, tokenize=True, return_dict=True, return_assistant_tokens_mask=tokenizer.is_fast
        )
        found = encode_row(row, tokenizer)
        assert list(found.ids) == theirs["input_ids"]
        text, spans = written(row, tokenizer)
        said = [message.content.strip() for message in row.messages if message.role == "assistant"]
        assert [text[first:last].removesuffix(tokenizer.eos_token).strip() for first, last in spans] == said
        if tokenizer.is_fast:
            mask = [bool(flag) for flag in theirs["assistant_masks"]]
            differing = [k for k, (ours, other) in enumerate(zip(found.learned, mask, strict=True)) if ours != other]
            # theirs has tokens that begin in front of an answer as well
            assert all(mask[k] and not mask[k - 1] for k in differing)


@pytest.mark.parametrize("kind", [byte_level, metaspace])
def test_what_is_found_is_what_would_be_marked(kind):
    """Without its marks the same template gives the same answers."""
    for name in template_names():
        tokenizer, draw = kind(), random.Random(name)
        give_template(tokenizer, name)
        rows = [conversation(draw, with_system=name != "chatglm2") for _ in range(5)]
        with_marks = [encode_row(row, tokenizer) for row in rows]
        tokenizer.chat_template = unmarked(tokenizer.chat_template)
        assert [encode_row(row, tokenizer) for row in rows] == with_marks, name


def unmarked(template: str) -> str:
    """The template without {% generation %}, with the same white space."""
    opened = re.sub(r"\{%(-?)\s*generation\s*(-?)%\}", r"{%\1 if true \2%}", template)
    return re.sub(r"\{%(-?)\s*endgeneration\s*(-?)%\}", r"{%\1 endif \2%}", opened)


@pytest.mark.parametrize(
    "name", ["gemma3", "lfm2", "llama3", "qwen3", "qwen3_instruct_2507", "qwen3_vl", "cohere", "phi3", "smolvlm"]
)
def test_marked_and_found_agree_in_templates_of_others(name):
    trl = pytest.importorskip("trl")
    text = (Path(trl.__file__).parent / "chat_templates" / f"{name}_training.jinja").read_text(encoding="utf-8")
    tokenizer = byte_level([*SPECIAL, *re.findall(r"<\|?\w+\|?>", text)])
    tools = ({"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {}}},)
    rows = [to_row(CHAT), replace(to_row(CHAT), messages=to_row(CHAT).messages[:2])]
    if name.startswith(("llama3", "qwen3", "lfm2")):
        rows.append(Row(CALL, tools=tools))
    for row in rows:
        tokenizer.chat_template = text
        with_marks = encode_row(row, tokenizer)
        tokenizer.chat_template = unmarked(text)
        assert encode_row(row, tokenizer) == with_marks
        assert any(with_marks.learned)


def test_a_tokenizer_in_python_that_joins_tokens_over_a_border_is_not_guessed_at():
    """ByT5's </s> swallows the space before it."""
    tokenizer = in_python()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content + (eos_token if m.role == 'assistant' else ' ') }}{% endfor %}"
    )
    assert learned(tokenizer, Row((Message("user", "Hi"), Message("assistant", "Yes")))) == ["Yes</s>"]
    with pytest.raises(DataError, match="cannot say where its tokens stand"):
        encode_row(Row((Message("user", "Hi"), Message("assistant", ""))), tokenizer)


def test_a_model_without_a_template_is_refused(tokenizer, default_model_dir):
    bare = AutoTokenizer.from_pretrained(default_model_dir)
    bare.chat_template = None
    with pytest.raises(SettingError, match="no chat template"):
        encode_row(to_row(CHAT), bare)
