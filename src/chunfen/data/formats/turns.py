"""Conversations in the forms in which they are written down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chunfen.data.formats.fields import RowError, as_text, kind_of, parsed
from chunfen.data.row import Message, Role

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "tool_response": "tool",
}
"""What formats call a role → what it is called here."""

PAIRS = (("human", "user", "query", "prompt"), ("assistant", "gpt", "bot", "response"))
"""Names of the two sides where one object holds a question and its answer."""

MEDIA = ("image", "video", "audio")


class Media(dict[str, list[str]]):
    """What is found inside messages: kind of medium → paths or addresses, in order."""


def read_turns(value: object, name: str, media: Media | None = None) -> tuple[Message, ...]:
    """The messages of a conversation. media: is given what content parts hold; a tag takes their place in the text.

    Raises RowError for anything that is no conversation.
    """
    turns = parsed(value, name)
    if isinstance(turns, Mapping):
        turns = [turns]
    if not isinstance(turns, (list, tuple)):
        raise RowError(f"{name} has to be a list of messages, not {kind_of(turns)}")
    if not turns:
        raise RowError(f"{name} is empty")
    found: list[Message] = []
    for number, turn in enumerate(turns, 1):
        found += _turn(turn, f"{name}, message {number}", Media() if media is None else media)
    return tuple(found)


def _turn(turn: object, where: str, media: Media) -> list[Message]:
    if isinstance(turn, (list, tuple)) and len(turn) == 2:
        return [Message("user", as_text(turn[0], where)), Message("assistant", as_text(turn[1], where))]
    if not isinstance(turn, Mapping):
        raise RowError(f"{where} has to be an object with role and content, not {kind_of(turn)}")
    role = turn.get("role", turn.get("from"))
    if role is None:
        return _pair(turn, where)
    if not isinstance(role, str) or role.strip().lower() not in ROLES:
        raise RowError(f"{where}: role {role!r} is not known; use system, user, assistant or tool")
    content = turn.get("content", turn.get("value"))
    listed = parsed(turn.get("tool_calls"), f"{where}, tool_calls") or ()
    if not isinstance(listed, (list, tuple)):
        raise RowError(f"{where}: tool_calls has to be a list, not {kind_of(listed)}")
    calls: list[Mapping[str, Any]] = [_call(call, where) for call in listed]
    name = role.strip().lower()
    if name in ("function_call", "tool_call"):
        return [Message("assistant", "", (_call(content, where),))]
    loss = _loss(turn.get("loss"), where)
    if isinstance(content, (list, tuple)):
        return _parts(ROLES[name], content, calls, loss, where, media)
    text = "" if content is None and calls else as_text(content, where)
    return [Message(ROLES[name], text, tuple(calls), loss)]


def _pair(turn: Mapping[str, Any], where: str) -> list[Message]:
    """{"human": …, "assistant": …}"""
    asked, answered = (next((turn[n] for n in names if turn.get(n) is not None), None) for names in PAIRS)
    if asked is None:
        raise RowError(f"{where} has no role: expected role and content, from and value, or human and assistant")
    found = [Message("user", as_text(asked, where))]
    return found if answered is None else [*found, Message("assistant", as_text(answered, where))]


def _parts(
    role: Role, parts: Sequence[object], calls: list[Mapping[str, Any]], loss: bool | None, where: str, media: Media
) -> list[Message]:
    """Content in parts, as OpenAI and Anthropic write it: text, media, and calls of tools with their results."""
    text, results = "", []
    for part in parts:
        if isinstance(part, str):
            text += as_text(part, where)
            continue
        if not isinstance(part, Mapping):
            raise RowError(f"{where}: a content part has to be an object, not {kind_of(part)}")
        kind = str(part.get("type", "text"))
        medium = next((m for m in MEDIA if m in kind), None)
        if medium:
            media.setdefault(medium, []).append(_source(part, medium, where))
            text += f"<{medium}>"
        elif kind in ("text", "input_text", "output_text"):
            text += as_text(part.get("text"), where)
        elif kind == "tool_use":
            calls.append({"name": as_text(part.get("name"), where), "arguments": part.get("input") or {}})
        elif kind == "tool_result":
            results.append(Message("tool", _flat(part.get("content"), where)))
        else:
            raise RowError(f"{where}: a content part of type {kind!r} is not known")
    own = [Message(role, text, tuple(calls), loss)] if text or calls or not results else []
    return [*results, *own]


def _source(part: Mapping[str, Any], medium: str, where: str) -> str:
    """Where a medium is: {"image_url": {"url": …}}, {"image": path}, {"source": {"media_type", "data"}}, …"""
    found = next(
        (part[k] for k in (f"{medium}_url", f"input_{medium}", medium, "source", "url", "path") if part.get(k)), None
    )
    if isinstance(found, Mapping):
        if found.get("data"):
            kind = found.get("media_type") or f"{medium}/{found.get('format', '*')}"
            return f"data:{kind};base64,{as_text(found['data'], where)}"
        found = found.get("url") or found.get("path")
    if not isinstance(found, str):
        raise RowError(f"{where}: the {medium} part names no file, address or data")
    return found


def _flat(content: object, where: str) -> str:
    if isinstance(content, (list, tuple)):
        return "".join(as_text(p.get("text", "") if isinstance(p, Mapping) else p, where) for p in content)
    return "" if content is None else as_text(content, where)


def _call(value: object, where: str) -> dict[str, Any]:
    """A call of a tool: OpenAI's {"function": {"name", "arguments": JSON text}}, or {"name", "arguments"}."""
    call = parsed(value, where)
    if isinstance(call, Mapping) and isinstance(call.get("function"), Mapping):
        call = call["function"]
    if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
        raise RowError(
            f"{where}: a tool call has to be an object with name and arguments, not {json.dumps(value)[:80]}"
        )
    arguments = parsed(call.get("arguments", call.get("parameters")) or {}, f"{where}, arguments")
    if not isinstance(arguments, Mapping):
        raise RowError(f"{where}: the arguments of {call['name']} have to be an object, not {kind_of(arguments)}")
    return {"name": call["name"], "arguments": dict(arguments)}


def _loss(value: object, where: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1, 0.0, 1.0):
        return bool(value)
    raise RowError(f"{where}: loss has to be true or false, not {value!r}")


FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "user": ("", "system", "assistant"),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
    "system": ("",),
}
"""Role → the roles that it may come after; "" is the beginning."""


def check_turns(messages: Sequence[Message], name: str) -> None:
    """Raise RowError where the order of roles is none that a chat template can write, or a turn says nothing."""
    before = ""
    for number, message in enumerate(messages, 1):
        where = f"{name}, message {number}"
        if before not in FOLLOWS[message.role]:
            after = f"after {before}" if before else "at the beginning"
            raise RowError(f"{where}: {message.role} cannot come {after}")
        if message.role in ("user", "assistant") and not message.content.strip() and not message.tool_calls:
            raise RowError(f"{where}: the {message.role} says nothing")
        before = message.role
    if before == "system":
        raise RowError(f"{name}: there is a system prompt and nothing else")
