"""What was said in a conversation so far: values that are never changed, so that nothing is half done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from chunfen.data.row import Message, Row
from chunfen.errors import SettingError


@dataclass(frozen=True, slots=True)
class Conversation:
    """system: the system prompt, if one was given. turns: questions and replies, in turn. tries: replies that the last
    question has had before."""

    system: str | None = None
    turns: tuple[tuple[str, str], ...] = ()
    tries: int = 0

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """(role, text) of everything, the system prompt first."""
        return (*((("system", self.system),) if self.system is not None else ()), *self.turns)

    def asked(self, text: str) -> Conversation:
        """With one more question."""
        return replace(self, turns=(*self.turns, ("user", text)), tries=0)

    def answered(self, text: str) -> Conversation:
        """With the reply to the last question."""
        return replace(self, turns=(*self.turns, ("assistant", text)))

    def again(self) -> Conversation:
        """With the last question open once more.

        >>> Conversation().asked("Hi").answered("Ho").again()
        Conversation(system=None, turns=(('user', 'Hi'),), tries=1)
        """
        self._require_turns()
        return replace(self, turns=self.turns[:-1], tries=self.tries + 1)

    def undone(self) -> Conversation:
        """Without the last question and its reply."""
        self._require_turns()
        return replace(self, turns=self.turns[:-2], tries=0)

    def cleared(self) -> Conversation:
        """Begun anew, under the same system prompt."""
        return Conversation(self.system)

    def fitting(self, tokens: Callable[[Conversation], int], most: int | None) -> Conversation:
        """What of it a model can be given at once: the oldest turns are left out, never the last question.

        tokens: how many a conversation has. most: how many there may be; None: any number.

        >>> talk = Conversation("S").asked("1").answered("2").asked("3")
        >>> talk.fitting(lambda part: len(part.messages), 3).messages
        (('system', 'S'), ('user', '3'))
        """
        part = self
        while most is not None and tokens(part) > most and len(part.turns) > 2:
            part = replace(part, turns=part.turns[2:])
        return part

    def row(self) -> Row:
        """The conversation as a standard row."""
        self._require_turns()
        return Row(messages=tuple(Message(role, text) for role, text in self.messages))  # type: ignore[arg-type]

    def _require_turns(self) -> None:
        if not self.turns:
            raise SettingError("Nothing has been asked yet.")
