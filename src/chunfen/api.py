"""The main job from Python: the same settings as the command line, as keyword arguments; typed results.

>>> from chunfen import audit, balance
>>> log = audit(model="smollm2-135m-instruct", languages=["en"])  # doctest: +SKIP
>>> log.probe("gender.line.en").result("slope").estimate  # doctest: +SKIP
2.31
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chunfen import loop
from chunfen.errors import SettingError, did_you_mean
from chunfen.measure.log import AuditLog, Verdict
from chunfen.plugins import run_plugins
from chunfen.runs import Run
from chunfen.settings.commands import ONLINE_COMMANDS, STAGE_COMMANDS, AuditCommand, BalanceCommand, RepairCommand
from chunfen.settings.resolve import resolve
from chunfen.settings.run import RunSettings


def audit(**options: Any) -> AuditLog:
    """Measure a model's bias on held-out items; options as of `chunfen audit --help`.

    Leaves a run folder with a report.
    Raises SettingError for an option that does not exist or a value that does not fit.
    """
    settings = _settings(AuditCommand, options)
    with _started("audit", settings) as run:
        return loop.audit(settings, run)


def repair(**options: Any) -> Path:
    """Train a repair of what the training split shows; options as of `chunfen repair --help`.

    Returns the folder of the adapter, which PEFT loads anywhere.
    """
    settings = _settings(RepairCommand, options)
    with _started("repair", settings) as run:
        return loop.repair(settings, run)


def balance(**options: Any) -> Verdict:
    """Audit, repair, audit again, judge and report; options as of `chunfen balance --help`.

    The run folder under `output_dir` holds the adapter, both audits and report.html.
    """
    settings = _settings(BalanceCommand, options)
    with _started("balance", settings) as run:
        return loop.balance(settings, run)


def train(stage: str, **options: Any) -> Path:
    """Train a stage (pt, sft, dpo, …); options as of `chunfen STAGE --help`.

    >>> from chunfen import train
    >>> train("sft", dataset=["instructions-en"], max_steps=20)  # doctest: +SKIP
    PosixPath('runs/20260801-104500-sft-smollm2-135m-instruct/adapter')

    Returns the folder of what was trained. Raises SettingError for a stage or an option that does not exist.
    """
    from chunfen.train.online import train_online
    from chunfen.train.perform import train as perform

    known = STAGE_COMMANDS | ONLINE_COMMANDS
    if stage not in known:
        raise SettingError(f"stage {stage!r}: unknown.{did_you_mean(stage, known)} It is one of {', '.join(known)}.")
    settings = _settings(known[stage], options)
    with _started(stage, settings) as run:
        if stage in ONLINE_COMMANDS:
            return train_online(stage, settings, run)
        return perform(settings.stage(stage), settings, run)


def _settings(command: Any, options: dict[str, Any]) -> Any:
    return resolve(command, None, options).settings


def _started(verb: str, settings: RunSettings) -> Run:
    run_plugins(settings.external_plugins)
    return (Run.resume(verb, settings) if settings.resume else None) or Run.create(verb, settings)
