"""Engines: who computes. ``engines["transformers"]`` is a class; plug-ins register as ``chunfen.engine``."""

from chunfen.engines.base import Engine
from chunfen.registry import Registry

engines: Registry[type[Engine]] = Registry(
    "engine", {"transformers": "chunfen.engines.transformers:TransformersEngine"}
)

__all__ = ["Engine", "engines"]
