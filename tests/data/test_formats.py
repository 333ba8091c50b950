"""Every row format that people have becomes the standard row, and every broken one a reason."""

from __future__ import annotations

import json
import random

import pytest

from chunfen.data.formats import RowError, to_row
from chunfen.data.row import Message, Row

ASKED = Message("user", "What is 2 and 3?")
ANSWERED = Message("assistant", "5")
WORSE = Message("assistant", "6")
SYSTEM = Message("system", "Be brief.")
QA = (ASKED, ANSWERED)
TURNS = [{"role": "user", "content": "What is 2 and 3?"}, {"role": "assistant", "content": "5"}]
SHORT = [{"from": "human", "value": "What is 2 and 3?"}, {"from": "gpt", "value": "5"}]
PROMPT = TURNS[:1]
CALL = {"name": "add", "arguments": {"a": 2, "b": 3}}

CONVERSATIONS = {
    "messages": {"messages": TURNS},
    "messages as JSON text": {"messages": json.dumps(TURNS)},
    "from and value": {"conversations": SHORT},
    "from and value, user and assistant": {
        "conversations": [{"from": "user", "value": "What is 2 and 3?"}, {"from": "assistant", "value": "5"}]
    },
    "sharegpt pairs": {"conversation": [{"human": "What is 2 and 3?", "assistant": "5"}]},
    "query and response": {"query": "What is 2 and 3?", "response": "5"},
    "prompt and completion": {"prompt": "What is 2 and 3?", "completion": "5"},
    "question and answer": {"question": "What is 2 and 3?", "answer": "5"},
    "problem and target": {"problem": "What is 2 and 3?", "target": "5"},
    "input and output": {"input": "What is 2 and 3?", "output": "5"},
    "alpaca": {"instruction": "What is 2 and 3?", "input": "", "output": "5"},
    "alpaca without input": {"instruction": "What is 2 and 3?", "output": "5", "input": None},
    "prompt and completion as messages": {"prompt": TURNS[:1], "completion": TURNS[1:]},
    "content in parts": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What is 2 and 3?"}]}, TURNS[1]]
    },
}


@pytest.mark.parametrize("raw", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_question_and_its_answer(raw):
    row = to_row(raw)
    assert row == Row(messages=QA)
    assert row.kind == "conversation"


@pytest.mark.parametrize("raw", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_what_is_written_reads_back(raw):
    row = to_row({**raw, "source": "me"})
    assert row.extra == {"source": "me"}
    assert to_row(json.loads(json.dumps(row.as_dict()))) == row


def test_what_was_said_before_and_the_system_prompt():
    earlier = (Message("user", "Hi"), Message("assistant", "Hello"))
    expected = (SYSTEM, *earlier, *QA)
    assert to_row(
        {"query": ASKED.content, "response": "5", "history": [["Hi", "Hello"]], "system": "Be brief."}
    ) == Row(messages=expected)
    alpaca = {"instruction": ASKED.content, "output": "5", "history": '[["Hi", "Hello"]]', "system": "Be brief."}
    assert to_row(alpaca).messages == expected
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert to_row({"messages": [*turns, {"role": "assistant", "content": "Hello"}, *TURNS]}).messages == expected
    assert to_row({"messages": TURNS, "system": "Be brief."}).messages == (SYSTEM, *QA)


PREFERENCES = {
    "rejected_response": {"messages": TURNS, "rejected_response": "6"},
    "rejected_messages": {"messages": TURNS, "rejected_messages": [*PROMPT, {"role": "assistant", "content": "6"}]},
    "the last message alone": {"messages": TURNS, "rejected_messages": [{"role": "assistant", "content": "6"}]},
    "text": {"prompt": "What is 2 and 3?", "chosen": "5", "rejected": "6"},
    "messages": {"prompt": PROMPT, "chosen": TURNS[1:], "rejected": [{"role": "assistant", "content": "6"}]},
    "whole conversations": {"chosen": TURNS, "rejected": [*PROMPT, {"role": "assistant", "content": "6"}]},
    "prompt and whole conversations": {
        "prompt": "What is 2 and 3?",
        "chosen": TURNS,
        "rejected": [*PROMPT, {"role": "assistant", "content": "6"}],
    },
    "from and value": {
        "conversations": SHORT[:1],
        "chosen": {"from": "gpt", "value": "5"},
        "rejected": {"from": "gpt", "value": "6"},
    },
    "alpaca": {"instruction": "What is 2 and 3?", "input": "", "chosen": "5", "rejected": "6"},
}


@pytest.mark.parametrize("raw", PREFERENCES.values(), ids=PREFERENCES)
def test_a_better_and_a_worse_answer(raw):
    row = to_row({**raw, "margin": "1.5"})
    assert row == Row(messages=QA, rejected=(ASKED, WORSE), margin=1.5)
    assert row.kind == "preference"
    assert to_row(row.as_dict()) == row


def test_a_system_prompt_stands_before_both_answers():
    row = to_row({"system": "Be brief.", "prompt": ASKED.content, "chosen": "5", "rejected": "6"})
    assert (row.messages, row.rejected) == ((SYSTEM, *QA), (SYSTEM, ASKED, WORSE))
    whole = [*PROMPT, {"role": "assistant", "content": "6"}]
    assert to_row({"system": "Be brief.", "messages": TURNS, "rejected_messages": whole}).rejected == row.rejected


def test_labels_texts_and_prompts():
    assert to_row({"messages": TURNS, "label": True}) == Row(messages=QA, label=True)
    assert to_row({"messages": TURNS, "label": "false"}).label is False
    assert to_row({"text": "A nice day.", "label": 2}) == Row(messages=(Message("user", "A nice day."),), label=2)
    assert to_row({"text": "A nice day.", "label": 0}).kind == "labelled"
    assert to_row({"text": "A nice day."}) == Row(text="A nice day.")
    assert to_row({"content": "A nice day."}).kind == "text"
    asked = to_row({"messages": PROMPT, "solution": "5", "level": 3})
    assert (asked.kind, asked.extra) == ("prompt", {"solution": "5", "level": 3})


def test_calls_of_tools_as_openai_writes_them():
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    turns = [
        PROMPT[0],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "add", "arguments": '{"a": 2, "b": 3}'}}],
        },
        {"role": "tool", "content": "5", "tool_call_id": "1"},
        TURNS[1],
    ]
    row = to_row({"messages": turns, "tools": json.dumps([tool])})
    assert row.tools == (tool,)
    assert row.messages == (ASKED, Message("assistant", "", (CALL,)), Message("tool", "5"), ANSWERED)
    assert to_row(row.as_dict()) == row


def test_calls_of_tools_as_anthropic_and_sharegpt_write_them():
    expected = (ASKED, Message("assistant", "", (CALL,)), Message("tool", "5"), ANSWERED)
    use = {"type": "tool_use", "id": "1", "name": "add", "input": CALL["arguments"]}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "5"}]}
    turns = [PROMPT[0], {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}, TURNS[1]]
    assert to_row({"messages": turns}).messages == expected
    calls = [{"from": "function_call", "value": json.dumps(CALL)}, {"from": "observation", "value": "5"}]
    assert to_row({"conversations": [SHORT[0], *calls, SHORT[1]]}).messages == expected


def test_media_in_columns_and_in_messages():
    tagged = {"messages": [{"role": "user", "content": "<image>What is it?"}, TURNS[1]], "images": ["a.jpg"]}
    untagged = {"messages": [{"role": "user", "content": "What is it?"}, TURNS[1]], "images": "a.jpg"}
    parts = [{"type": "image_url", "image_url": {"url": "a.jpg"}}, {"type": "text", "text": "What is it?"}]
    in_parts = {"messages": [{"role": "user", "content": parts}, TURNS[1]]}
    for raw in (tagged, untagged, in_parts):
        row = to_row(raw)
        assert row.images == ("a.jpg",)
        assert row.messages[0].content == "<image>What is it?"
    source = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    assert to_row({"messages": [{"role": "user", "content": [source]}]}).images == ("data:image/png;base64,AAAA",)
    row = to_row(
        {"query": "<video><audio>What happens?", "response": "5", "videos": [{"path": "v.mp4"}], "audio": "s.wav"}
    )
    assert (row.videos, row.audios) == (("v.mp4",), ("s.wav",))


def test_grounding_objects_are_kept():
    objects = {"ref": ["dog"], "bbox": [[1, 2, 3, 4]], "bbox_type": "real"}
    row = to_row({"messages": TURNS, "images": ["a.jpg"], "objects": objects})
    assert row.objects == objects
    assert to_row(row.as_dict()) == row


def test_an_answer_can_say_whether_it_is_learned():
    turns = [PROMPT[0], {"role": "assistant", "content": "5", "loss": 0}]
    row = to_row({"messages": turns, "label": 0, "margin": 0})
    assert row.messages[1].loss is False
    assert to_row(row.as_dict()) == row
    turns[1]["content"] = [{"type": "text", "text": "5"}]
    assert to_row({"messages": turns}).messages[1] == row.messages[1]


BROKEN = {
    "no object": ([1, 2], "an object with named fields, not a list"),
    "null": (None, "not null"),
    "text": ("Hi", "not text"),
    "no field": ({}, "Its fields: none"),
    "unknown fields": ({"a": 1, "b": 2}, "no known format.*Its fields: a, b"),
    "all null": ({"messages": None, "text": None}, "no known format"),
    "empty messages": ({"messages": []}, "messages is empty"),
    "messages of the wrong type": ({"messages": 7}, "a list of messages, not a number"),
    "messages that are no JSON": ({"messages": "[{]"}, "messages looks like JSON but is none"),
    "a message of the wrong type": ({"messages": ["Hi"]}, "message 1 has to be an object"),
    "a message without role": ({"messages": [{"content": "Hi"}]}, "message 1 has no role"),
    "an unknown role": ({"messages": [{"role": "king", "content": "Hi"}]}, "role 'king' is not known"),
    "content of the wrong type": ({"messages": [{"role": "user", "content": 5}]}, "has to be text, not a number"),
    "content null": ({"messages": [{"role": "user", "content": None}]}, "has to be text, not null"),
    "an empty question": ({"query": " ", "response": "5"}, "message 1: the user says nothing"),
    "an empty answer": ({"query": "Hi", "response": ""}, "message 2: the assistant says nothing"),
    "answer first": ({"messages": TURNS[::-1]}, "message 1: assistant cannot come at the beginning"),
    "two questions": ({"messages": PROMPT * 2}, "message 2: user cannot come after user"),
    "a late system prompt": (
        {"messages": [*TURNS, {"role": "system", "content": "Be brief."}]},
        "system cannot come after assistant",
    ),
    "two system prompts": (
        {"system": "A", "messages": [{"role": "system", "content": "B"}, *TURNS]},
        "both in its own field and in the messages",
    ),
    "a system prompt alone": ({"messages": [{"role": "system", "content": "B"}]}, "and nothing else"),
    "a tool without a call": ({"messages": [{"role": "tool", "content": "5"}]}, "tool cannot come at the beginning"),
    "NUL": ({"query": "a\0b", "response": "5"}, "query holds a NUL character"),
    "empty text": ({"text": "  "}, "the text is empty"),
    "equal answers": ({"prompt": "Hi", "chosen": "5", "rejected": "5"}, "are the same"),
    "rejected alone": ({"prompt": "Hi", "rejected": "5"}, "the answer that it is worse than is not"),
    "another prompt": (
        {"messages": TURNS, "rejected_messages": [{"role": "user", "content": "Other"}, TURNS[1]]},
        "does not begin with the same messages",
    ),
    "a label of the wrong type": ({"messages": TURNS, "label": [1]}, "label has to be"),
    "a margin of the wrong type": (
        {"prompt": "a", "chosen": "b", "rejected": "c", "margin": "x"},
        "margin has to be a",
    ),
    "too many tags": ({"query": "<image><image>?", "response": "5", "images": ["a"]}, "have 2 <image> for 1 images"),
    "a tag without a file": ({"query": "<image>?", "response": "5"}, "have 1 <image> for 0 images"),
    "an image of the wrong type": ({"query": "?", "response": "5", "images": [5]}, "images has to be text"),
    "an unknown part": ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "'smell' is not known"),
    "a call without a name": (
        {"conversations": [SHORT[0], {"from": "function_call", "value": "5"}]},
        "a tool call has",
    ),
    "objects of the wrong type": ({"messages": TURNS, "objects": [1]}, "objects has to be an object"),
    "history of the wrong type": ({"query": "a", "response": "b", "history": [5]}, "history, message 1"),
    "loss of the wrong type": ({"messages": [PROMPT[0], {**TURNS[1], "loss": "x"}]}, "loss has to be true or false"),
    "a number as a field name": ({5: "a"}, "field names have to be text"),
}


def mutated(value, draw: random.Random):
    """The same with one thing in it replaced by something else."""
    if isinstance(value, dict) and value and draw.random() < 0.8:
        key = draw.choice(list(value))
        return {**value, key: mutated(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        place = draw.randrange(len(value))
        return [*value[:place], mutated(value[place], draw), *value[place + 1 :]]
    return draw.choice([None, 0, 1.5, True, "", "x", "[1]", "{}", [], {}, [None], [[]], {"a": 1}, [{"role": "user"}]])


def test_whatever_is_in_a_row_it_is_read_or_refused():
    draw = random.Random(0)
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 2}}}]}
    parts = [{"type": "image", "source": {"data": "AA"}}, {"type": "tool_result", "content": ["5"]}]
    more = [{"messages": [PROMPT[0], call, {"role": "tool", "content": parts}], "tools": [{}], "objects": {}}]
    seeds = [
        *CONVERSATIONS.values(),
        *PREFERENCES.values(),
        *more,
        {"query": "a", "history": [["b", "c"]], "images": ["d"]},
    ]
    outcomes = set()
    for number in range(5000):
        raw = mutated(seeds[number % len(seeds)], draw)
        try:
            row = to_row(raw)
        except RowError:
            outcomes.add("refused")
        else:
            outcomes.add("read")
            assert to_row(json.loads(json.dumps(row.as_dict()))) == row, raw
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize(("raw", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_row_says_what_is_wrong(raw, reason):
    with pytest.raises(RowError, match=reason):
        to_row(raw)
