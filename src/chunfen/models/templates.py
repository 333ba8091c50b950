"""From the turns of a chat to the tokens that the model sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from chunfen.errors import SettingError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Message: TypeAlias = tuple[str, str]
"""One turn of a chat: (role, content)."""


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Iterable[Message],
    *,
    system: str | None = None,
    add_generation_prompt: bool = True,
) -> list[int]:
    """The token ids of a chat by the model's own template, special tokens included.

    messages: (role, content) turns. system: a system prompt put first, unless the messages bring their own;
    None: what the template says, which for some models is a prompt of its own. add_generation_prompt: end
    with the opening of the assistant's turn. Raises SettingError for a model without a chat template.
    """
    turns = turns_of(messages, system)
    require_template(tokenizer)
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def turns_of(messages: Iterable[Message], system: str | None = None) -> list[dict[str, str]]:
    """(role, content) turns as the dictionaries that templates read, the system prompt first.

    >>> turns_of([("user", "Hi")], system="Be brief.")
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Hi'}]
    >>> turns_of([("system", "Sing."), ("user", "Hi")], system="Be brief.")[0]["content"]
    'Sing.'
    """
    turns = [{"role": role, "content": content} for role, content in messages]
    if system is not None and not (turns and turns[0]["role"] == "system"):
        turns.insert(0, {"role": "system", "content": system})
    return turns


def has_template(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the model can be asked by chat; a base model cannot."""
    return bool(tokenizer.chat_template)


def require_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a model without a chat template, saying what can be done."""
    if not has_template(tokenizer):
        raise SettingError(
            f"model {tokenizer.name_or_path!r} has no chat template, so it cannot be asked "
            "by chat. Use its instruct or chat variant, or keep to the endpoints that score plain text: "
            "--endpoints line,reverse."
        )
