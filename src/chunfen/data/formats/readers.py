"""Which format a row is written in, by the fields it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chunfen.data.formats.fields import Fields, RowError, as_text, kind_of, parsed
from chunfen.data.formats.turns import MEDIA, Media, check_turns, read_turns
from chunfen.data.row import Message, Row

CHAT = ("messages", "conversations", "conversation")
ASKED = ("query", "prompt", "question", "problem", "input")
ANSWERED = ("response", "answer", "output", "target", "targets", "completion", "solution", "chosen")
TEXT = ("text", "content")
SYSTEM = ("system", "system_prompt")

Reader = Callable[[Fields, Media], tuple[Message, ...]]


def to_row(raw: object) -> Row:
    """The standard row of one raw row. Raises RowError, which says what is wrong with it.

    >>> row = to_row({"instruction": "Add.", "input": "2 and 3", "output": "5", "source": "me"})
    >>> [(m.role, m.content) for m in row.messages], row.extra
    ([('user', 'Add.\\n2 and 3'), ('assistant', '5')], {'source': 'me'})
    >>> to_row({"prompt": "Hi", "chosen": "Hello.", "rejected": "What."}).rejected[-1].content
    'What.'
    """
    fields, media = Fields(raw), Media()
    reader = next((read for fits, read in FORMATS if fields.has(*fits)), None)
    if reader is None and fields.has(*TEXT):
        return _plain(fields)
    if reader is None:
        there = ", ".join(fields.left) or "none"
        raise RowError(f"no known format: the row has neither messages, nor a question, nor text. Its fields: {there}")
    messages = _with_system(fields, reader(fields, media))
    rejected = _rejected(fields, messages, media)
    check_turns(messages, "messages")
    if rejected:
        check_turns(rejected, "rejected")
        if rejected == messages:
            raise RowError("the chosen and the rejected answer are the same")
    listed = {kind: tuple(media.get(kind, ())) + _media(fields, kind) for kind in MEDIA}
    for kind, files in listed.items():
        messages, rejected = _tagged(messages, kind, files), _tagged(rejected, kind, files)
    return Row(
        messages=messages,
        rejected=rejected,
        label=_label(fields),
        margin=_number(fields, "margin"),
        tools=_tools(fields),
        images=listed["image"],
        videos=listed["video"],
        audios=listed["audio"],
        objects=_objects(fields),
        extra=fields.left,
    )


def _chat(fields: Fields, media: Media) -> tuple[Message, ...]:
    name = fields.has(*CHAT) or "messages"
    found = read_turns(fields.take(name), name, media)
    chosen = fields.take("chosen") if fields.has("rejected", "rejected_response", "rejected_messages") else None
    return found if chosen is None else _ended(found, chosen, "chosen", media)


def _alpaca(fields: Fields, media: Media) -> tuple[Message, ...]:
    asked, more = fields.text("instruction") or "", fields.text("input") or ""
    return _asked(fields, "\n".join(part for part in (asked, more) if part), media)


def _query(fields: Fields, media: Media) -> tuple[Message, ...]:
    name = fields.has(*ASKED) or "query"
    asked = parsed(fields.take(name), name)
    if isinstance(asked, str):
        return _asked(fields, as_text(asked, name), media)
    found = read_turns(asked, name, media)
    answer = fields.take(*ANSWERED)
    return found if answer is None else _ended(found, answer, "answer", media)


def _asked(fields: Fields, asked: str, media: Media) -> tuple[Message, ...]:
    """A question with what was said before and the answer, if there is one."""
    history = fields.many("history")
    before = read_turns(history, "history", media) if history else ()
    found = (*before, Message("user", asked))
    name = fields.has(*ANSWERED)
    return found if name is None else _ended(found, fields.take(name), name, media)


def _preferred(fields: Fields, media: Media) -> tuple[Message, ...]:
    """Two whole conversations: chosen and rejected."""
    return read_turns(fields.take("chosen"), "chosen", media)


FORMATS: tuple[tuple[tuple[str, ...], Reader], ...] = (
    (CHAT, _chat),
    (("instruction",), _alpaca),
    (ASKED, _query),
    (("chosen",), _preferred),
)
"""(fields of which one must be there, how the conversation is then read); the first that fits is used."""


def _plain(fields: Fields) -> Row:
    text = fields.text(*TEXT) or ""
    if not text.strip():
        raise RowError("the text is empty")
    label = _label(fields)
    if label is not None:  # a text with a class is a question whose answer is the class
        return Row(messages=(Message("user", text),), label=label, extra=fields.left)
    return Row(text=text, extra=fields.left)


def _with_system(fields: Fields, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    system = fields.text(*SYSTEM)
    if not system:
        return messages
    if messages and messages[0].role == "system":
        raise RowError("there is a system prompt both in its own field and in the messages")
    return (Message("system", system), *messages)


def _ended(before: tuple[Message, ...], answer: object, name: str, media: Media) -> tuple[Message, ...]:
    """A conversation with an answer: text, a message, the last messages, or the whole conversation again."""
    if not isinstance(answer, (Mapping, list, tuple)):
        return (*before, Message("assistant", as_text(answer, name)))
    last = read_turns(answer, name, media)
    if len(last) > len(before) and last[: len(before)] == before:
        return last
    return (*before, *last)


def _rejected(fields: Fields, messages: tuple[Message, ...], media: Media) -> tuple[Message, ...]:
    name = fields.has("rejected_messages", "rejected_response", "rejected")
    if name is None:
        return ()
    if not messages or messages[-1].role != "assistant":
        raise RowError(f"{name} is there, but the answer that it is worse than is not")
    worse, ignored = fields.take(name), Media()
    prompt = messages[:-1]
    if isinstance(worse, (Mapping, list, tuple)) or (isinstance(worse, str) and name == "rejected_messages"):
        last = read_turns(worse, name, ignored)
        own = prompt[1:] if prompt and prompt[0].role == "system" and last[0].role != "system" else prompt
        if last[0].role in ("system", "user"):
            if last[: len(own)] != own:
                raise RowError(f"{name} does not begin with the same messages as the chosen answer")
            last = last[len(own) :]
        return (*prompt, *last)
    return (*prompt, Message("assistant", as_text(worse, name)))


def _media(fields: Fields, kind: str) -> tuple[str, ...]:
    found = []
    for value in fields.many(f"{kind}s", kind):
        source = (value.get("path") or value.get("url")) if isinstance(value, Mapping) else value
        found.append(as_text(source, f"{kind}s"))
    return tuple(found)


def _tagged(messages: tuple[Message, ...], kind: str, files: tuple[str, ...]) -> tuple[Message, ...]:
    """The messages with one tag for each file; without any tag they go before the first question."""
    tag = f"<{kind}>"
    there = sum(message.content.count(tag) for message in messages)
    if not messages or there == len(files):
        return messages
    if there:
        raise RowError(f"the messages have {there} {tag} for {len(files)} {kind}s")
    first = next(n for n, message in enumerate(messages) if message.role == "user")
    asked = messages[first]
    tagged = Message("user", tag * len(files) + asked.content, asked.tool_calls, asked.loss)
    return (*messages[:first], tagged, *messages[first + 1 :])


def _tools(fields: Fields) -> tuple[Mapping[str, Any], ...]:
    found = []
    for tool in fields.many("tools", "functions"):
        value = parsed(tool, "tools")
        if not isinstance(value, Mapping):
            raise RowError(f"tools has to be a list of objects; it holds {kind_of(value)}")
        found.append(dict(value))
    return tuple(found)


def _objects(fields: Fields) -> Mapping[str, Any] | None:
    value = parsed(fields.take("objects"), "objects")
    if value is None or isinstance(value, Mapping):
        return value or None
    raise RowError(f"objects has to be an object with ref and bbox, not {kind_of(value)}")


def _label(fields: Fields) -> Any:
    value = fields.take("label")
    if value is None or isinstance(value, (bool, int, float, str)):
        words = {"true": True, "false": False}
        return words.get(value.strip().lower(), value) if isinstance(value, str) else value
    raise RowError(f"label has to be a class, a number, or true or false, not {kind_of(value)}")


def _number(fields: Fields, name: str) -> float | None:
    value = fields.take(name)
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise RowError(f"{name} has to be a number, not {value!r}") from None
