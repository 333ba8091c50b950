"""The process that trains by DeepSpeed: before, within and after."""

from __future__ import annotations

import logging
import os
import socket
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from chunfen.errors import SettingError
from chunfen.train.deepspeed.config import AUTO

if TYPE_CHECKING:
    import torch

LAUNCHED = "RANK"
"""What every launcher of processes sets."""


@contextmanager
def one_process(device: torch.device) -> Iterator[None]:
    """Within this, the process is a group of its own, as DeepSpeed asks for; afterwards nothing is left of it.

    A process that a launcher has started belongs to a group already, and is left alone.
    """
    if LAUNCHED in os.environ:
        yield
        return
    alone = {
        "RANK": "0",
        "LOCAL_RANK": str(device.index or 0),
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
    }
    with _environment(os.environ | alone), warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.filterwarnings("ignore", ".*is deprecated", FutureWarning, "torch.distributed")
        logging.getLogger("accelerate.accelerator").setLevel(logging.ERROR)  # of how batches are counted, twice
        try:
            yield
        finally:
            _leave_group()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Within this these are the environment variables; afterwards they are as they were."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def accelerator(device: torch.device) -> Any:
    """What DeepSpeed computes on. It decides that once, when it is first imported, and reports on stdout."""
    own = {"DS_ACCELERATOR": "cpu"} if device.type == "cpu" else {}
    with _environment(own | os.environ), redirect_stdout(sys.stderr):
        from deepspeed.accelerator import get_accelerator

        return get_accelerator()


def check(config: Mapping[str, Any], name: str) -> None:
    """Raises SettingError where DeepSpeed does not take a configuration, whatever its batches. name: whose it is."""
    from deepspeed.runtime.config import DeepSpeedConfig

    batches = {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1, "train_batch_size": 1}
    try:
        DeepSpeedConfig(_without_auto(config) | batches)
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        raise SettingError(f"deepspeed {name}: {_first_lines(error)}.") from error


@contextmanager
def starting(name: str) -> Iterator[None]:
    """Within this, what DeepSpeed cannot begin with is a SettingError. name: of the configuration."""
    import deepspeed

    try:
        yield
    except Exception as error:
        frames = traceback.walk_tb(error.__traceback__)
        if any(frame.f_code is deepspeed.initialize.__code__ for frame, _ in frames):
            raise SettingError(f"deepspeed {name}: {_first_lines(error)}.") from error
        raise


def _first_lines(error: Exception) -> str:
    return " ".join(" ".join(str(error).splitlines()[:3]).split()).rstrip(".")


def _without_auto(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section without what is found out later."""
    return {
        key: _without_auto(value) if isinstance(value, Mapping) else value
        for key, value in section.items()
        if value != AUTO
    }


def whole(model: Any) -> None:
    """Put the weights of a trained model together again, on the CPU and as the optimizer has them: in float32.

    Only what is saved is right afterwards; the model does not compute any more.
    """
    import torch
    from deepspeed.runtime.zero import GatheredParameters
    from deepspeed.utils import safe_get_full_fp32_param

    found = {}
    for name, weight in model.named_parameters():
        exact = safe_get_full_fp32_param(weight) if weight.requires_grad else None
        with GatheredParameters([weight]):
            value = weight if exact is None else exact
            found[name] = value.detach().to("cpu", torch.float32 if weight.requires_grad else None, copy=True)
    for name, weight in model.named_parameters():
        weight.data = found[name]


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _leave_group() -> None:
    """Forget what DeepSpeed, accelerate and transformers keep for a whole process."""
    from accelerate.state import AcceleratorState, GradientState
    from deepspeed import comm
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    if comm.is_initialized():
        comm.destroy_process_group()
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]
