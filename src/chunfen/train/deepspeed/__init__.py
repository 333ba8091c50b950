"""Training by DeepSpeed's ZeRO (Rajbhandari et al. 2020): weights, gradients and optimizer states in parts.

Needs the extra chunfen[deepspeed].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from chunfen.errors import SettingError
from chunfen.models.loading import pick_device
from chunfen.settings.describe import as_text
from chunfen.train.backend import Backend
from chunfen.train.deepspeed.config import ROWS, completed, own_format, read, with_format
from chunfen.train.deepspeed.process import accelerator, check, one_process, starting, whole
from chunfen.train.load import training_dtype

if TYPE_CHECKING:
    import torch

UNFIT = {
    "adalora": "reads and cuts single weights between steps",
    "galore": "needs the gradients of whole matrices",
    "lisa": "changes which weights are trained",
}
"""tuner_type → why DeepSpeed's optimizers, to which all weights are one long row, cannot serve it."""

OF_MATRICES = ("adafactor", "adalomo", "apollo", "dion", "galore", "lomo", "muon")
"""How the names of optimizers begin that compute with whole matrices."""


class DeepSpeed(Backend):
    """What the setting deepspeed makes of a training.

    settings: those of a stage. say: is told what is done otherwise than they or the file ask for. own: the number
    format of DeepSpeed's own mixed precision, if the file asks for one. Raises SettingError for what cannot be done.
    """

    def __init__(self, settings: Any, say: Callable[[str], None]) -> None:
        super().__init__(settings, say)
        self.name = settings.deepspeed
        config = read(self.name)
        if find_spec("deepspeed") is None:
            raise SettingError(f'deepspeed {self.name}: needs a package: pip install "chunfen[deepspeed]".')
        self.device = pick_device(settings.device)
        self.accelerator = accelerator(self.device)
        check(config, self.name)
        self._refuse(sharded=config["zero_optimization"].get("stage", 0) > 0)
        wish = training_dtype(settings.torch_dtype, settings.device)
        self.own = self._format(own_format(config, wish), wish)
        self.config = with_format(config, self.own, wish)
        self._hand_over()

    def loading(self) -> Any:
        """Frozen weights have the format that DeepSpeed computes in."""
        return self.settings.model_copy(update={"torch_dtype": self.own}) if self.own else self.settings

    @contextmanager
    def process(self) -> Iterator[None]:
        """Within this there is the process group that DeepSpeed asks for: this process alone."""
        with one_process(self.device), starting(self.name):
            yield

    def arguments(self, options: Mapping[str, Any], *, steps: int) -> dict[str, Any]:
        """The configuration with the numbers of the settings, and the settings with those of the configuration."""
        config, held = completed(self.config, self._numbers(options["learning_rate"], steps), self._fixed())
        if held:
            named = ", ".join(f"{name} {as_text(value)}" for name, value in held.items())
            self.say(f"deepspeed {self.name}: what the file says holds: {named}.")
        if (betas := held.pop("adam_betas", None)) is not None:
            held["adam_beta1"], held["adam_beta2"] = betas
        held.pop("warmup_min_lr", None)  # which transformers does not know
        per_step = options["gradient_accumulation_steps"]
        config = {
            # offloaded, DeepSpeed's own AdamW would take the place of any optimizer
            "zero_force_ds_cpu_optimizer": self.settings.optim.startswith("adamw_torch"),
            "zero_allow_untested_optimizer": True,
            **config,
            "train_micro_batch_size_per_gpu": 1,  # to transformers, a batch of rows is one element
            "gradient_accumulation_steps": per_step,
            "train_batch_size": per_step,
        }
        config["zero_optimization"].setdefault("stage3_gather_16bit_weights_on_model_save", True)
        return {
            "deepspeed": config,
            "accelerator_config": {"dispatch_batches": False},  # of a stream: the batches are made where they are used
            "fp16": self.own == "float16",
            "bf16": self.own == "bfloat16",
            **held,
        }

    def optimizer(self, own: torch.optim.Optimizer | None) -> dict[str, Any]:
        """Its class and groups: one that is made already would not be heeded."""
        if own is None:
            return {}
        if "optimizer" in self.config:
            raise SettingError(
                f"deepspeed {self.name}: brings an optimizer, and so does the tuner (lorap_lr_ratio). Leave one out."
            )
        return {"optimizer_cls_and_kwargs": (type(own), {"params": own.param_groups})}

    def dtype(self, wish: torch.dtype) -> torch.dtype:
        """None of torch beside DeepSpeed's own."""
        import torch

        return torch.float32 if self.own else wish

    def finish(self, model: Any) -> None:
        """The parts of the weights, put together again."""
        whole(model)

    def _refuse(self, *, sharded: bool) -> None:
        """What cannot be done. sharded: whether optimizers see weights as one long row, cut into parts."""
        settings = self.settings
        if why := UNFIT.get(settings.tuner_type):
            raise SettingError(f"deepspeed {self.name}: tuner_type {settings.tuner_type} {why}. Leave one of them out.")
        if sharded and settings.optim.removeprefix("paged_").startswith(OF_MATRICES):
            raise SettingError(
                f"deepspeed {self.name}: optim {settings.optim} computes with whole matrices, and ZeRO cuts them into "
                "parts. Use adamw_torch, or zero0."
            )

    def _format(self, own: str | None, wish: str) -> str | None:
        """The format of the file, if the processor has it and the settings do not say otherwise."""
        if own == "float16" and not self.accelerator.is_fp16_supported():
            self.say(f"deepspeed {self.name}: this processor does not compute in fp16; {wish} takes its place.")
            return None
        if own not in (None, wish) and self.settings.torch_dtype != "auto":
            raise SettingError(
                f"deepspeed {self.name}: asks for {own}, and torch_dtype is {wish}. Leave torch_dtype out, or write "
                '"auto" into the file.'
            )
        return own

    def _hand_over(self) -> None:
        """Say what of the file takes the place of settings. Raises SettingError for one that was given, too."""
        said = []
        for part, setting in (("optimizer", "optim"), ("scheduler", "lr_scheduler_type")):
            if part not in self.config:
                continue
            kind, value = self.config[part].get("type"), getattr(self.settings, setting)
            if setting in self._given():
                raise SettingError(
                    f"deepspeed {self.name}: brings the {part} {kind}, and {setting} is {value}. Leave one out."
                )
            said.append(f"its {part} {kind} takes the place of {setting} {value}")
        if said:
            self.say(f"deepspeed {self.name}: {', '.join(said)}.")

    def _numbers(self, learning_rate: float, steps: int) -> dict[str, Any]:
        """What belongs into the places of the configuration, by the settings."""
        settings = self.settings
        return {
            "per_device_train_batch_size": settings.per_device_train_batch_size,
            "gradient_accumulation_steps": settings.gradient_accumulation_steps,
            ROWS: settings.accumulation * (settings.per_device_train_batch_size or 1),
            "max_grad_norm": settings.max_grad_norm,
            "learning_rate": learning_rate,
            "adam_betas": [0.9, settings.adam_beta2],  # with the defaults of transformers
            "adam_epsilon": 1e-8,
            "weight_decay": settings.weight_decay,
            "warmup_min_lr": 0,
            "warmup_steps": max(1, round(settings.warmup_ratio * steps)),  # DeepSpeed refuses 0
            "max_steps": steps,
        }

    def _fixed(self) -> set[str]:
        """The numbers that have to hold: those that were given, and those that were planned with."""
        behind = {"adam_betas": "adam_beta2", "warmup_steps": "warmup_ratio"}
        given = self._given()
        names = self._numbers(0.0, 1)
        planned = {"per_device_train_batch_size", "gradient_accumulation_steps", ROWS, "max_steps"}
        return planned | {name for name in names if behind.get(name, name) in given}

    def _given(self) -> set[str]:
        """The settings that are not at their default."""
        fields = type(self.settings).model_fields
        return {name for name in fields if getattr(self.settings, name) != fields[name].default}
