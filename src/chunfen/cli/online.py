"""chunfen grpo, rloo: learning from rewards of the model's own answers."""

from __future__ import annotations

import re

from chunfen.cli.train import CURVES
from chunfen.cli.verb import EXIT_OK, Verb
from chunfen.runs import Run
from chunfen.runs.files import write_text
from chunfen.settings.commands import ONLINE_COMMANDS, StageCommand

DRAWN = re.compile(r"step|(eval_)?(reward|rewards/.+/mean|kl|loss|entropy|completions/mean_length)")
"""The numbers that are drawn; metrics.jsonl has all that TRL reports."""
ABOUT = {
    "grpo": "Learn from rewards of own answers, each compared with the others to its prompt (GRPO).",
    "rloo": "Learn from rewards of own answers, each against the mean of the others to its prompt (RLOO).",
}
MORE = """

--reward_funcs names what an answer is worth: accuracy, bias, format, length, or functions of your own in a Python file.
Rows bring the prompts; those that cannot be used are listed in the run folder with the reason. --resume goes on with an
interrupted run.
"""


def _verb(name: str) -> Verb:
    def perform(settings: StageCommand, run: Run) -> int:
        from chunfen.report.charts.curves import curves
        from chunfen.train.online import train_online

        folder = train_online(name, settings, run)
        drawn = ({key: line[key] for key in line if DRAWN.fullmatch(key)} for line in run.metrics())
        write_text(run.folder / CURVES, str(curves(drawn, run.name)))
        print(folder)
        return EXIT_OK

    perform.__name__, perform.__doc__ = name, ABOUT[name] + MORE
    return Verb(perform, ONLINE_COMMANDS[name], None)


grpo, rloo = map(_verb, ABOUT)
