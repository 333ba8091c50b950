"""The settings of each verb: the topics that it uses, and nothing else.

A verb's options are flat; the topic that defines an option gives it its place in the help and in the tables.
"""

from __future__ import annotations

from chunfen.settings.audit import AuditSettings
from chunfen.settings.base import Settings
from chunfen.settings.generate import GenerateSettings
from chunfen.settings.model import ModelSettings
from chunfen.settings.repair import RepairSettings
from chunfen.settings.report import ReportSettings
from chunfen.settings.run import CommonSettings, RunSettings
from chunfen.settings.train import RepairTrainSettings
from chunfen.settings.tuner import TunerSettings


class AuditCommand(ModelSettings, AuditSettings, RunSettings):
    """Everything that `chunfen audit` can be told."""


class RepairCommand(AuditCommand, TunerSettings, RepairTrainSettings, RepairSettings):
    """Everything that `chunfen repair` can be told."""


class BalanceCommand(RepairCommand):
    """Everything that `chunfen balance` can be told."""


class ReportCommand(ReportSettings, CommonSettings):
    """Everything that `chunfen report` can be told."""


class InferCommand(ModelSettings, GenerateSettings, CommonSettings):
    """Everything that `chunfen infer` can be told."""


COMMANDS: dict[str, type[Settings]] = {
    "audit": AuditCommand,
    "repair": RepairCommand,
    "balance": BalanceCommand,
    "report": ReportCommand,
    "infer": InferCommand,
}
"""Verb → its settings; the source of help, JSON Schema and the option tables."""
