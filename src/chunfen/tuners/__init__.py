"""Tuners: one file per method, one shape. Today LoRA; a plug-in registers under the entry point chunfen.tuner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chunfen.registry import Registry

TUNERS: Registry[Callable[..., Any]] = Registry("tuner", {"lora": "chunfen.tuners.lora:attach"})
"""tuner_type → attach(model, settings) → the model with its trainable part."""
