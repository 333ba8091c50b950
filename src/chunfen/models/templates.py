"""From the turns of a chat to the text and tokens that the model sees. The tokenizer's own template is the truth.

Models whose tokenizer brings none get one from the folder chat_templates, by the name in their catalog entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from chunfen.errors import DataError, SettingError, did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Message: TypeAlias = tuple[str, str]
"""One turn of a chat: (role, content)."""

Turn: TypeAlias = dict[str, Any]
"""One turn as templates read it: role, content, and perhaps tool_calls."""

_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


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
    text = write(tokenizer, turns_of(messages, system), add_generation_prompt=add_generation_prompt)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def write(
    tokenizer: PreTrainedTokenizerBase,
    turns: Sequence[Turn],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    add_generation_prompt: bool = False,
) -> str:
    """A conversation as the template writes it.

    tools: functions that the assistant may call, as JSON Schema. Raises SettingError for a model without a chat
    template, DataError for a conversation that its template refuses.
    """
    from jinja2.exceptions import TemplateError

    require_template(tokenizer)
    try:
        text = tokenizer.apply_chat_template(
            list(turns), tools=_schemas(tools), tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except TemplateError as error:
        raise DataError(
            f"the chat template of {tokenizer.name_or_path!r} cannot write this conversation: {error}."
        ) from error
    return str(text)


def marked(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], *, tools: Sequence[Mapping[str, Any]] = ()
) -> list[tuple[int, int]]:
    """What the template itself marks as answers ({% generation %}): first character in the text and one past."""
    from transformers.utils.chat_template_utils import render_jinja_template

    how: dict[str, Any] = {"tools": _schemas(tools), **tokenizer.special_tokens_map}
    template = tokenizer.get_chat_template(tools=how["tools"])
    found: Any = render_jinja_template([list(turns)], chat_template=template, return_assistant_tokens_mask=True, **how)
    _, places = found
    return [(int(first), int(last)) for first, last in places[0]]


def marks_answers(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template itself says what of a conversation are answers."""
    return bool(_MARK.search(str(tokenizer.chat_template)))


def turns_of(messages: Iterable[Message], system: str | None = None) -> list[Turn]:
    """(role, content) turns as the dictionaries that templates read, the system prompt first.

    >>> turns_of([("user", "Hi")], system="Be brief.")
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Hi'}]
    """
    return with_system([{"role": role, "content": content} for role, content in messages], system)


def with_system(turns: Sequence[Turn], system: str | None) -> list[Turn]:
    """Turns with a system prompt put first, unless they bring their own.

    >>> with_system([{"role": "system", "content": "Sing."}], "Be brief.")
    [{'role': 'system', 'content': 'Sing.'}]
    """
    own = bool(turns) and turns[0]["role"] == "system"
    return list(turns) if system is None or own else [{"role": "system", "content": system}, *turns]


def has_template(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the model can be asked by chat; a base model cannot."""
    return bool(tokenizer.chat_template)


def require_template(tokenizer: PreTrainedTokenizerBase, otherwise: str = "") -> None:
    """Refuse a model without a chat template, saying what can be done.

    otherwise: what else the caller can do, as a sentence.
    """
    if not has_template(tokenizer):
        raise SettingError(
            f"model {tokenizer.name_or_path!r} has no chat template, so it cannot be asked by chat. Use its instruct "
            f"or chat variant, or give it a template: --template {', '.join(template_names())}. {otherwise}".rstrip()
        )


@cache
def template_names() -> tuple[str, ...]:
    """The templates that ship here."""
    return tuple(_known())


def give_template(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Give a tokenizer the chat template of this name, and the token that ends an answer in it.

    Raises SettingError for a name that is not known, and where the tokenizer does not know the template's tokens: a
    model would take them for ordinary text.
    """
    known = _known()
    if name not in known:
        raise SettingError(f"template {name!r} is not known.{did_you_mean(name, known)} It takes: {', '.join(known)}.")
    text = _read("_no_tools.jinja") + _read(f"{name}.jinja")
    model = f"model {tokenizer.name_or_path!r}"
    for token in known[name].get("tokens", ()):
        if not is_token(tokenizer, token):
            raise SettingError(
                f"template {name!r} writes {token}, which is no token of {model}. Use the template that it was trained "
                "with; alpaca needs no tokens of its own."
            )
    end = known[name].get("end") or tokenizer.eos_token
    for needed, value in (("bos_token", tokenizer.bos_token), ("eos_token", end)):
        if needed in text and value is None:
            raise SettingError(f"template {name!r} writes the {needed}, and {model} has none. Use another one.")
    tokenizer.chat_template, tokenizer.eos_token = text, end


def choose_template(tokenizer: PreTrainedTokenizerBase, wanted: str | None, catalogued: str | None) -> None:
    """Give a tokenizer the template that is asked for; if none is, and it brings none, the catalog's."""
    if wanted is not None:
        give_template(tokenizer, wanted)
    elif catalogued is not None and not has_template(tokenizer):
        give_template(tokenizer, catalogued)


def is_token(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether a tokenizer takes this text for one token."""
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return len(ids) == 1 and ids != [tokenizer.unk_token_id]


def _schemas(tools: Sequence[Mapping[str, Any]]) -> Any:
    return [dict(tool) for tool in tools] or None


@cache
def _known() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(_read("templates.yaml"))
    return found


def _read(name: str) -> str:
    return resources.files("chunfen.models").joinpath("chat_templates", name).read_text(encoding="utf-8")
