"""The main job from Python: the same settings as the command line, as keyword arguments; typed results.

>>> from chunfen import audit, balance
>>> log = audit(model="smollm2-135m-instruct", languages=["en"])  # doctest: +SKIP
>>> log.probe("gender.line.en").result("slope").estimate  # doctest: +SKIP
2.31
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chunfen import loop
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


def _stage(verb: str) -> Callable[..., Path]:
    def stage(**options: Any) -> Path:
        settings = _settings((STAGE_COMMANDS | ONLINE_COMMANDS)[verb], options)
        with _started(verb, settings) as run:
            if verb in ONLINE_COMMANDS:
                from chunfen.train.online import train_online

                return train_online(verb, settings, run)
            from chunfen.train.perform import train

            return train(settings.stage(verb), settings, run)

    stage.__name__ = stage.__qualname__ = verb
    stage.__doc__ = f"""Train; options as of `chunfen {verb} --help`.

    >>> from chunfen import {verb}
    >>> {verb}(dataset=["rows.jsonl"], max_steps=20)  # doctest: +SKIP
    PosixPath('runs/20260801-104500-{verb}-smollm2-135m-instruct/adapter')

    Returns the folder of what was trained. Raises SettingError for an option that does not exist or does not fit.
    """
    return stage


pt, sft, dpo, simpo, cpo, orpo, kto, rm, grpo, rloo = map(_stage, (*STAGE_COMMANDS, *ONLINE_COMMANDS))


def _settings(command: Any, options: dict[str, Any]) -> Any:
    return resolve(command, None, options).settings


def _started(verb: str, settings: RunSettings) -> Run:
    run_plugins(settings.external_plugins)
    return (Run.resume(verb, settings) if settings.resume else None) or Run.create(verb, settings)
