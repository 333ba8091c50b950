"""DeepSpeed's configuration: a preset or a file, completed by what the settings of a training say."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from chunfen.errors import SettingError, did_you_mean
from chunfen.settings.describe import as_text

Config = dict[str, Any]
AUTO = "auto"
FORMATS = {"fp16": "float16", "bf16": "bfloat16"}
"""DeepSpeed's sections for mixed precision, and the number formats that they stand for."""

ROWS = "per_device_train_batch_size × gradient_accumulation_steps"
NUMBERS = {
    "train_micro_batch_size_per_gpu": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "train_batch_size": ROWS,
    "gradient_clipping": "max_grad_norm",
    "optimizer.params.lr": "learning_rate",
    "optimizer.params.betas": "adam_betas",
    "optimizer.params.eps": "adam_epsilon",
    "optimizer.params.weight_decay": "weight_decay",
    "scheduler.params.warmup_min_lr": "warmup_min_lr",
    "scheduler.params.warmup_max_lr": "learning_rate",
    "scheduler.params.warmup_num_steps": "warmup_steps",
    "scheduler.params.total_num_steps": "max_steps",
}
"""A place in the configuration → the number that belongs there."""
TAKEN = {
    "adam": ("lr", "betas", "eps", "weight_decay"),
    "adamw": ("lr", "betas", "eps", "weight_decay"),
    "lamb": ("lr", "betas", "eps", "weight_decay"),
    "lion": ("lr", "betas", "weight_decay"),
    "adagrad": ("lr", "eps", "weight_decay"),
    "warmuplr": ("warmup_min_lr", "warmup_max_lr", "warmup_num_steps"),
    "warmupdecaylr": ("warmup_min_lr", "warmup_max_lr", "warmup_num_steps", "total_num_steps"),
    "warmupcosinelr": ("warmup_num_steps", "total_num_steps"),
    "onecycle": (),
    "lrrangetest": (),
}
"""The parameters of `NUMBERS` that an optimizer or a scheduler takes; others: lr and weight_decay."""


@functools.cache
def presets() -> dict[str, Config]:
    """The configurations that have a name."""
    found: dict[str, Config] = yaml.safe_load(Path(__file__).with_name("presets.yaml").read_text(encoding="utf-8"))
    return found


def read(name: str) -> Config:
    """The configuration of a preset, or of a JSON file.

    Raises SettingError for what is neither, and for a file that is no configuration.
    """
    if name in presets():
        return copy.deepcopy(presets()[name])
    path = Path(name).expanduser()
    if not path.is_file():
        near = [*presets(), *(str(p) for p in path.parent.glob("*.json"))]
        raise SettingError(
            f"deepspeed {name}: no such file, and no preset.{did_you_mean(name, near)} "
            f"Give the path of a DeepSpeed configuration, or {', '.join(presets())}."
        )
    try:
        config = parsed(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise SettingError(f"deepspeed {name}: not JSON: {error.msg} (line {error.lineno}).") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"deepspeed {name}: cannot be read ({error}).") from error
    if not isinstance(config, dict) or "zero_optimization" not in config:
        raise SettingError(f'deepspeed {name}: has no section "zero_optimization", which every configuration has.')
    for section in ("zero_optimization", *FORMATS, "optimizer", "scheduler"):
        if not isinstance(config.get(section, {}), dict):
            raise SettingError(f"deepspeed {name}: {section} is {config[section]!r}; it is a section: {{ … }}.")
    return config


class _Lenient(yaml.SafeLoader):
    """YAML, which is JSON where quotes may be missing, with JSON's numbers: to YAML 1.1, 1e-5 is a text."""


_Lenient.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"-?\d+(\.\d+)?[eE][-+]?\d+$"), list("-0123456789")
)


def parsed(text: str) -> Any:
    """JSON, also as web pages print it: without the quotes. Raises json.JSONDecodeError.

    >>> parsed("{ fp16: { enabled: true }, optimizer: { type: AdamW, params: { lr: 1e-5 } } }")
    {'fp16': {'enabled': True}, 'optimizer': {'type': 'AdamW', 'params': {'lr': 1e-05}}}
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        try:
            return yaml.load(text, _Lenient)
        except yaml.YAMLError:
            raise error from None


def own_format(config: Config, wish: str) -> str | None:
    """The number format of DeepSpeed's own mixed precision, if a configuration asks for it.

    wish: what "auto" stands for.

    >>> own_format({"fp16": {"enabled": "auto"}, "bf16": {"enabled": "auto"}}, "bfloat16")
    'bfloat16'
    >>> own_format({"fp16": {"enabled": True}, "bf16": {"enabled": "auto"}}, "bfloat16"), own_format({}, "bfloat16")
    ('float16', None)
    """
    asked = {name: config.get(section, {}).get("enabled", False) for section, name in FORMATS.items()}
    for name, on in asked.items():
        if on not in (True, False, AUTO):
            raise SettingError(f'deepspeed: {name} is enabled: {on!r}; write true, false or "auto".')
    chosen = next((name for name, on in asked.items() if on is True), None)
    return chosen or next((name for name, on in asked.items() if on == AUTO and name == wish), None)


def with_format(config: Config, own: str | None, wish: str) -> Config:
    """The configuration that computes in a number format, the one of `own_format`.

    Without one, trained weights stay float32 and products of matrices are computed in `wish`.

    >>> with_format({"fp16": {"enabled": "auto"}}, None, "bfloat16")
    {'torch_autocast': {'enabled': True, 'dtype': 'bfloat16'}, 'fp16': {'enabled': False}}
    """
    sections = {s: config.get(s, {}) | {"enabled": name == own} for s, name in FORMATS.items() if s in config}
    autocast = {"torch_autocast": {"enabled": True, "dtype": wish}} if own is None and wish != "float32" else {}
    return autocast | config | sections


def completed(config: Config, numbers: Mapping[str, Any], fixed: Collection[str]) -> tuple[Config, dict[str, Any]]:
    """Fill what is missing or "auto"; a number that is there holds, and is given back by its name.

    numbers: those of `NUMBERS` by the settings. fixed: the names of those that have to hold. Raises SettingError where
    the configuration says otherwise than they.

    >>> completed({"optimizer": {"type": "SGD", "params": {"lr": 0.5}}, "gradient_clipping": "auto"},
    ...     {"learning_rate": 0.1, "weight_decay": 0.0, "max_grad_norm": 1.0}, ["weight_decay"])
    ({'optimizer': {'type': 'SGD', 'params': {'lr': 0.5, 'weight_decay': 0.0}}, 'gradient_clipping': 1.0}, \
{'learning_rate': 0.5})
    """
    config = copy.deepcopy(config)
    instead: dict[str, Any] = {}
    for place, name in _places(config, numbers):
        *path, key = place.split(".")
        section = functools.reduce(lambda inner, part: inner.setdefault(part, {}), path, config)
        holds, said = instead.get(name, numbers[name]), section.get(key, AUTO)
        if said in (AUTO, holds):
            section[key] = holds
        elif name in fixed or name in instead:
            raise SettingError(
                f"deepspeed: {place} is {as_text(said)}, and {name} is {as_text(holds)}. Let both be the same, or "
                'write "auto" into the file.'
            )
        else:
            instead[name] = said
    return config, instead


def _places(config: Config, numbers: Collection[str]) -> Iterator[tuple[str, str]]:
    """The places of these numbers that a configuration has room for."""
    for place, name in NUMBERS.items():
        part, _, key = place.partition(".params.")
        kind = str(config.get(part, {}).get("type", "")).lower() if key else ""
        room = not key or (part in config and key in TAKEN.get(kind, ("lr", "weight_decay")))
        if name in numbers and room:
            yield place, name
