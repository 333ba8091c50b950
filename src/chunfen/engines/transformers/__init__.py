"""The engine that computes in this process, with any causal language model that transformers can load."""

from chunfen.engines.transformers.engine import TransformersEngine

__all__ = ["TransformersEngine"]
