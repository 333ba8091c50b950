"""chunfen pt, sft, dpo, … : one verb for each stage of training."""

from __future__ import annotations

from chunfen.cli.verb import EXIT_OK, Verb
from chunfen.runs import Run
from chunfen.runs.files import write_text
from chunfen.settings.commands import STAGE_COMMANDS, StageCommand

CURVES = "training.svg"
"""The numbers of metrics.jsonl, drawn."""
ABOUT = {
    "pt": "Continue pre-training on running text.",
    "sft": "Fine-tune on the answers of conversations, or on classes (--task_type seq_cls).",
    "dpo": "Align with pairs of answers, by DPO or any loss of its family.",
    "simpo": "Align with pairs of answers, per token and without a reference.",
    "cpo": "Align with pairs of answers and their likelihood, without a reference.",
    "orpo": "Fine-tune and align at once, by odds ratios.",
    "kto": "Align with single answers that are wanted or not.",
    "rm": "Train a model that scores answers.",
}
MORE = """

Rows that cannot be used are listed in the run folder with the reason. --resume goes on with an interrupted run,
bit for bit. --dry_run shows the rows, the steps and the memory that it takes.
"""


def _verb(name: str) -> Verb:
    def perform(settings: StageCommand, run: Run) -> int:
        from chunfen.report.charts.curves import curves
        from chunfen.train.perform import train

        folder = train(settings.stage(name), settings, run)
        write_text(run.folder / CURVES, str(curves(run.metrics(), run.name)))
        print(folder)
        return EXIT_OK

    perform.__name__, perform.__doc__ = name, ABOUT[name] + MORE
    return Verb(perform, STAGE_COMMANDS[name], None)


pt, sft, dpo, simpo, cpo, orpo, kto, rm = map(_verb, ABOUT)
