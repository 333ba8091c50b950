"""A conversation with a model in the terminal; replies appear word by word."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from chunfen.cli.chat_commands import BLOCK, perform
from chunfen.cli.conversation import Conversation
from chunfen.cli.messages import message
from chunfen.cli.screen import say
from chunfen.errors import ChunfenError, DataError
from chunfen.settings.generate import SamplingSettings
from chunfen.settings.model import ModelSettings

if TYPE_CHECKING:
    from chunfen.engines.transformers.switching import Adapters
    from chunfen.settings.commands import InferCommand


class Chat:
    """A model with its adapters, how it replies, and what was said so far."""

    def __init__(self, adapters: Adapters, sampling: SamplingSettings, talk: Conversation, lang: str) -> None:
        self.adapters, self.sampling, self.talk, self.lang = adapters, sampling, talk, lang

    @classmethod
    def load(cls, settings: InferCommand) -> Chat:
        """Load the model that the settings name.

        For one question all adapters are applied, as everywhere. A conversation has them side by side, the last one on.
        """
        from chunfen.engines.transformers.switching import Adapters
        from chunfen.models.loading import load_model

        together = settings.adapters if settings.prompt is not None else settings.adapters[:1]
        chosen = {name: getattr(settings, name) for name in ModelSettings.model_fields}
        chosen |= {"adapters": together, "system": None}  # the system prompt is the conversation's, and may change
        adapters = Adapters(load_model(**chosen))
        for adapter in settings.adapters[len(together) :]:
            adapters.open(adapter)
        sampling = SamplingSettings(**{name: getattr(settings, name) for name in SamplingSettings.model_fields})
        chat = cls(adapters, sampling, Conversation(settings.system), settings.lang)
        chat.require_place(settings.system)
        return chat

    @property
    def has_template(self) -> bool:
        """Whether the model takes turns; one without a chat template continues text."""
        from chunfen.models.templates import has_template

        return has_template(self.adapters.loaded.tokenizer)

    def require_place(self, system: str | None) -> None:
        """Refuse a system prompt for a model that continues text."""
        from chunfen.engines.prompt import require_place

        require_place(self.adapters.loaded, system)

    def ask(self, text: str) -> str:
        """Print the reply to one more turn as it comes, and return it."""
        return self._reply(self.talk.asked(text))

    def retry(self) -> str:
        """Print another reply to the last turn. At temperature 0 it is the same one."""
        return self._reply(self.talk.again())

    def _reply(self, talk: Conversation) -> str:
        """Ctrl-C ends the reply; what was said until then is kept, and the interrupt comes through."""
        from chunfen.engines.base import Sampling
        from chunfen.engines.prompt import as_prompt
        from chunfen.engines.transformers.streaming import Printer, stream

        how = self.sampling
        sampling = Sampling(how.max_new_tokens, how.temperature, how.top_p, how.top_k, seed=how.seed)
        prompt = as_prompt(self._fitting(talk).messages, chat=self.has_template)
        printer = Printer(self.adapters.loaded.tokenizer, lambda part: print(part, end="", flush=True))
        try:
            with self.adapters.on() as loaded:
                stream(
                    loaded, prompt, sampling, printer.add, sample=talk.tries, repetition_penalty=how.repetition_penalty
                )
        finally:
            printer.end()
            print(flush=True)
            self.talk = talk.answered(printer.text)
        return printer.text

    def _fitting(self, talk: Conversation) -> Conversation:
        """What of the conversation fits into the model's context, beside the reply."""
        from chunfen.engines.prompt import as_prompt, context_length
        from chunfen.engines.transformers.tokens import encode_prompt

        loaded, chat = self.adapters.loaded, self.has_template
        length, reply = context_length(loaded), self.sampling.max_new_tokens

        def tokens(part: Conversation) -> int:
            return len(encode_prompt(loaded.tokenizer, as_prompt(part.messages, chat=chat))) + reply

        part = talk.fitting(tokens, length)
        if length and tokens(part) > length:
            raise DataError(
                f"This turn takes {tokens(part)} tokens with its reply; the model reads {length}. Shorten it, or "
                "allow fewer tokens for the reply: /set max_new_tokens."
            )
        if len(part.turns) < len(talk.turns):
            say(message("chat.forgot", self.lang, count=(len(talk.turns) - len(part.turns)) // 2))
        return part


def converse(chat: Chat) -> bool:
    """Read turns until the input ends. False: without a terminal, where every line is a turn, something went wrong.

    Errors are said and do not end the conversation.
    """
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    _greet(chat, on_terminal)
    well = True
    while True:
        try:
            text = _read(message("chat.you", chat.lang) if on_terminal else "")
            if text.startswith("/") and not text.startswith("//"):
                if not perform(chat, text):
                    return well or on_terminal
            elif text:
                chat.ask(text.removeprefix("/") if text.startswith("//") else text)
        except EOFError:
            return well or on_terminal
        except KeyboardInterrupt as interrupt:
            if not on_terminal or type(interrupt) is not KeyboardInterrupt:  # SIGTERM is a kind of it, and ends all
                raise
            say("\n" + message("chat.stopped", chat.lang))
        except BrokenPipeError:  # nobody reads the replies any more
            raise
        except (ChunfenError, OSError) as error:
            well = False
            say(str(error))


def _greet(chat: Chat, on_terminal: bool) -> None:
    names, lang = chat.adapters.names, chat.lang
    model = chat.adapters.loaded.spec.name
    if on_terminal:
        with suppress(ImportError):  # arrow keys and history, where the system has them
            import readline  # noqa: F401
        say(message("chat.hint", lang, model=model))
    if not chat.has_template:
        say(message("chat.base", lang, model=model))
    if len(names) > 1:
        say(message("chat.adapters", lang, names=", ".join(names), active=chat.adapters.active))


def _read(prompt: str) -> str:
    """One turn: a line, or the lines between three quotes and three quotes or the end of the input."""
    text = input(prompt).strip()
    if text == "/multiline":
        text = BLOCK
    if not text.startswith(BLOCK):
        return text
    lines = [text.removeprefix(BLOCK)]
    with suppress(EOFError):
        while not lines[-1].rstrip().endswith(BLOCK):
            lines.append(input("... " if prompt else ""))
    return "\n".join(lines).strip().removesuffix(BLOCK).strip()
