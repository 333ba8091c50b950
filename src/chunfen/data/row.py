"""The one standard row: what every file format becomes, and what every stage reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn.

    tool_calls: what an assistant asks for, each {"name": …, "arguments": {…}}. loss: whether training learns this
    answer; None: as the stage decides.
    """

    role: Role
    content: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    loss: bool | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of training data, of any task.

    messages: a conversation; without an answer at its end it is a prompt. rejected: the same conversation with a worse
    ending (preference). text: running text instead of a conversation (pre-training). label: of a class, a score, or
    whether an answer is wanted. margin: by how much the answer is better than the rejected one. tools: functions that
    the assistant may call, as JSON Schema. images, videos, audios: paths, addresses or data addresses, one for each tag
    <image>, <video>, <audio> in the messages. objects: what <ref-object> and <bbox> stand for. extra: every other
    column, as it was.
    """

    messages: tuple[Message, ...] = ()
    rejected: tuple[Message, ...] = ()
    text: str = ""
    label: bool | int | float | str | None = None
    margin: float | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    images: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    audios: tuple[str, ...] = ()
    objects: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        """Whether the conversation ends with an answer."""
        return bool(self.messages) and self.messages[-1].role == "assistant"

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The conversation up to its last answer."""
        return self.messages[:-1] if self.answered else self.messages

    @property
    def kind(self) -> str:
        """What the row can be used for: text, preference, labelled, conversation or prompt."""
        if self.text:
            return "text"
        if self.rejected:
            return "preference"
        if self.label is not None:
            return "labelled"
        return "conversation" if self.answered else "prompt"

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON that reads back as the same row: fields at their defaults are left out."""
        found = _filled(asdict(self))
        for name in ("messages", "rejected"):
            if name in found:
                found[name] = [{"content": "", **_filled(turn)} for turn in found[name]]
        if "rejected" in found:
            found["rejected_messages"] = found.pop("rejected")
        return {**found.pop("extra", {}), **found}


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What says something; false and 0 do."""
    return {name: value for name, value in fields.items() if value not in (None, "", (), {})}
