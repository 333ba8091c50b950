"""chunfen infer"""

from __future__ import annotations

from functools import partial

from chunfen.cli.messages import message
from chunfen.cli.verb import EXIT_OK, Verb
from chunfen.runs import Run
from chunfen.settings.base import Settings
from chunfen.settings.commands import InferCommand

EXIT_ERROR = 1


class Infer(Verb):
    """A data set is answered in a run folder; a conversation leaves none."""

    def perform(self, settings: Settings) -> int:
        """Decide by the settings, which are final."""
        if not isinstance(settings, InferCommand) or not (settings.dataset or settings.load_data_args):
            return self.function(settings)
        from chunfen.engines.batch import check

        check(settings)
        return super().perform(settings)


@partial(Infer, settings=InferCommand, argument=None)
def infer(settings: InferCommand, run: Run | None = None) -> int:
    """Talk to a model in the terminal; with --prompt, answer that one question; with --dataset, every row of a file.

    In a conversation, /help lists the commands. With several --adapters it begins with the last one on.
    """
    if run is not None:
        return _answer_all(settings, run)
    from chunfen.cli.chat import Chat, converse

    chat = Chat.load(settings)
    if settings.prompt is None:
        return EXIT_OK if converse(chat) else EXIT_ERROR
    chat.ask(settings.prompt)
    return EXIT_OK


def _answer_all(settings: InferCommand, run: Run) -> int:
    from chunfen.engines.batch import answer_data_set

    done = answer_data_set(settings, run)
    if done.rejected:
        run.say(message("infer.rejected", settings.lang, count=done.rejected, folder=run.folder))
    if done.before:
        run.say(message("infer.before", settings.lang, count=done.before))
    rate = f"{done.rows_per_second:.2f}"
    run.say(message("infer.done", settings.lang, rows=done.rows, seconds=f"{done.seconds:.1f}", rate=rate))
    print(done.path)
    return EXIT_OK
