"""chunfen infer"""

from __future__ import annotations

from chunfen.cli.verb import EXIT_OK, verb
from chunfen.settings.commands import InferCommand


@verb(InferCommand)
def infer(settings: InferCommand) -> int:
    """Talk to a model in the terminal; with --prompt, answer that one question and stop."""
    from chunfen.cli.chat import Chat, converse

    chat = Chat.load(settings)
    if settings.prompt is None:
        converse(chat, settings.lang)
    else:
        chat.ask(settings.prompt)
    return EXIT_OK
