"""Who carries a training out: torch alone, or a library that spreads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class Backend:
    """Torch alone, in this process. A subclass says what it does otherwise.

    settings: those of a stage. say: is told what is done otherwise than they ask for.
    """

    def __init__(self, settings: Any, say: Callable[[str], None]) -> None:
        self.settings, self.say = settings, say

    def loading(self) -> Any:
        """The settings that the model is loaded by."""
        return self.settings

    def process(self) -> AbstractContextManager[None]:
        """Within this the trainer is made and trains."""
        return nullcontext()

    def arguments(self, options: Mapping[str, Any], *, steps: int) -> dict[str, Any]:
        """transformers' arguments beside `options`, or in their place. steps: of the whole training."""
        return {}

    def optimizer(self, own: torch.optim.Optimizer | None) -> dict[str, Any]:
        """What `Trainer` is given of the optimizer that a tuner brings."""
        return {"optimizers": (own, None)}

    def dtype(self, wish: torch.dtype) -> torch.dtype:
        """The number format that torch multiplies matrices in, instead of that of the weights."""
        return wish

    def finish(self, model: Any) -> None:
        """Make a trained model ready to be saved."""


def backend_of(settings: Any, say: Callable[[str], None]) -> Backend:
    """The backend that the settings ask for. Raises SettingError for one that cannot be had."""
    if settings.deepspeed is None:
        return Backend(settings, say)
    from chunfen.train.deepspeed import DeepSpeed

    return DeepSpeed(settings, say)
