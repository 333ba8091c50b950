"""Tuners: one file a method, all of the shape of `chunfen.tuners.base.Tuner`.

A plug-in is a class of that shape, registered under the entry point chunfen.tuner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunfen.registry import Registry
from chunfen.settings.tuner import TUNER_TYPES

if TYPE_CHECKING:
    from chunfen.tuners.base import Tuner

TUNERS: Registry[type[Tuner]] = Registry("tuner", {name: f"chunfen.tuners.{name}:Method" for name in TUNER_TYPES})
"""tuner_type → its class: ``TUNERS["lora"](model, settings).model`` is the model with its trainable part."""
