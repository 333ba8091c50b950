"""The settings of each verb: the topics that it uses, and nothing else.

A verb's options are flat; the topic that defines an option gives it its place in the help and in the tables.
"""

from __future__ import annotations

from chunfen.settings.audit import AuditSettings
from chunfen.settings.base import Settings
from chunfen.settings.data import DataSettings
from chunfen.settings.generate import GenerateSettings
from chunfen.settings.merge import MergeCommand
from chunfen.settings.model import ModelSettings
from chunfen.settings.online import GrpoSettings, RlooSettings
from chunfen.settings.repair import RepairSettings
from chunfen.settings.report import ReportSettings
from chunfen.settings.run import CommonSettings, RunSettings
from chunfen.settings.stages import (
    CpoSettings,
    DpoSettings,
    FinetuneSettings,
    KtoSettings,
    OrpoSettings,
    RewardSettings,
    SimpoSettings,
)
from chunfen.settings.train import RepairTrainSettings, TrainSettings
from chunfen.settings.tuner import RepairTunerSettings, TunerSettings


class AuditCommand(ModelSettings, AuditSettings, RunSettings):
    """Everything that `chunfen audit` can be told."""


class RepairCommand(AuditCommand, RepairTunerSettings, RepairTrainSettings, RepairSettings):
    """Everything that `chunfen repair` can be told."""


class BalanceCommand(RepairCommand):
    """Everything that `chunfen balance` can be told."""


class StageCommand(ModelSettings, DataSettings, TunerSettings, TrainSettings, RunSettings):
    """What every stage of training can be told."""

    def stage(self, verb: str) -> str:
        """The name of the stage that a verb performs; most have one of their own name."""
        return verb


class PretrainCommand(StageCommand):
    """Everything that `chunfen pt` can be told."""


class FinetuneCommand(FinetuneSettings, StageCommand):
    """Everything that `chunfen sft` can be told."""

    def stage(self, verb: str) -> str:
        return "seq_cls" if self.task_type == "seq_cls" else verb


class DpoCommand(DpoSettings, StageCommand):
    """Everything that `chunfen dpo` can be told."""


class SimpoCommand(SimpoSettings, StageCommand):
    """Everything that `chunfen simpo` can be told."""


class CpoCommand(CpoSettings, StageCommand):
    """Everything that `chunfen cpo` can be told."""


class OrpoCommand(OrpoSettings, StageCommand):
    """Everything that `chunfen orpo` can be told."""


class KtoCommand(KtoSettings, StageCommand):
    """Everything that `chunfen kto` can be told."""


class RewardCommand(RewardSettings, StageCommand):
    """Everything that `chunfen rm` can be told."""


class GrpoCommand(GrpoSettings, StageCommand):
    """Everything that `chunfen grpo` can be told."""


class RlooCommand(RlooSettings, StageCommand):
    """Everything that `chunfen rloo` can be told."""


class ReportCommand(ReportSettings, CommonSettings):
    """Everything that `chunfen report` can be told."""


class InferCommand(ModelSettings, GenerateSettings, CommonSettings):
    """Everything that `chunfen infer` can be told."""


STAGE_COMMANDS: dict[str, type[StageCommand]] = {
    "pt": PretrainCommand,
    "sft": FinetuneCommand,
    "dpo": DpoCommand,
    "simpo": SimpoCommand,
    "cpo": CpoCommand,
    "orpo": OrpoCommand,
    "kto": KtoCommand,
    "rm": RewardCommand,
}
"""Verbs that train a stage on rows that are there before."""
ONLINE_COMMANDS: dict[str, type[StageCommand]] = {"grpo": GrpoCommand, "rloo": RlooCommand}
"""Verbs that train on rewards of the model's own answers."""

COMMANDS: dict[str, type[Settings]] = {
    "audit": AuditCommand,
    "repair": RepairCommand,
    "balance": BalanceCommand,
    "report": ReportCommand,
    "infer": InferCommand,
    **STAGE_COMMANDS,
    **ONLINE_COMMANDS,
    "merge": MergeCommand,
}
"""Verb → its settings; the source of help, JSON Schema and the option tables."""
