"""From the turns of a conversation to what an engine is asked, for models with and without a chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chunfen.engines.base import Message
from chunfen.errors import SettingError
from chunfen.models.templates import has_template

if TYPE_CHECKING:
    from chunfen.models.loading import LoadedModel


def as_prompt(turns: Sequence[Message], *, chat: bool) -> str | tuple[Message, ...]:
    """The turns as they are, or, for a model that has no chat template, as the running text that it continues.

    In running text every turn of the user begins a line, and a reply follows what it continues without a break. Raises
    SettingError for turns of other roles, which have no place in it.

    >>> as_prompt([("user", "The nurse said"), ("assistant", " no."), ("user", "Then")], chat=False)
    'The nurse said no.\\nThen'
    """
    if chat:
        return tuple(turns)
    if others := sorted({role for role, _ in turns} - {"user", "assistant"}):
        raise SettingError(f"a model without a chat template takes running text; it has no place for: {others[0]}.")
    return "".join(f"\n{text}" if role == "user" else text for role, text in turns).removeprefix("\n")


def require_place(loaded: LoadedModel, system: str | None) -> None:
    """Refuse a system prompt for a model that has no place for one."""
    if system is not None and not has_template(loaded.tokenizer):
        raise SettingError(
            f"system {system!r}: {loaded.spec.name} has no chat template, so no place for a system prompt."
        )


def context_length(loaded: LoadedModel) -> int | None:
    """Most tokens that the model reads at once; None where its config does not say."""
    return getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
