"""Stages of training by name. A plug-in registers under the entry point chunfen.stage."""

from __future__ import annotations

from chunfen.registry import Registry
from chunfen.train.stage import Stage

STAGES: Registry[type[Stage]] = Registry(
    "stage",
    {
        "pt": "chunfen.train.stages.language:Pretraining",
        "sft": "chunfen.train.stages.language:Finetuning",
        "seq_cls": "chunfen.train.stages.scores:Classification",
        "rm": "chunfen.train.stages.scores:RewardModelling",
        "dpo": "chunfen.train.stages.preference:Dpo",
        "simpo": "chunfen.train.stages.preference:SimPO",
        "cpo": "chunfen.train.stages.preference:Cpo",
        "orpo": "chunfen.train.stages.preference:Orpo",
        "kto": "chunfen.train.stages.unpaired:Kto",
    },
)
"""What a stage learns from rows that are there before it begins. Learning from own answers is in `train.online`."""
