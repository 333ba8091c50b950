"""Adapters side by side on one loaded model, switched while it is in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from chunfen.errors import SettingError

if TYPE_CHECKING:
    from chunfen.models.loading import LoadedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
CANNOT = (SafetensorError, OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError)
"""How PEFT says that an adapter cannot be read or does not fit."""


class Adapters:
    """A model and its adapters, of which one is on or none.

    loaded: a model without or with one adapter, which is then on. names: what each adapter is called here, in the order
    in which they came. active: the name of the one that is on; None: the model as it is.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self._inside: dict[str, str] = {}  # name → what PEFT calls it
        self._folders: dict[Path, str] = {}
        self.active: str | None = None
        for folder in loaded.adapters[-1:]:
            self.active = self._named(folder, "default")  # the name that PEFT gives if it is told none

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._inside)

    def use(self, name: str | None) -> None:
        """Switch to the adapter of this name; None: switch all of them off. An unknown name is a KeyError."""
        model: Any = self.loaded.model
        inside = None if name is None else self._inside[name]
        if inside is not None and len(self._inside) > 1:
            model.set_adapter(inside, inference_mode=True)
        self.active = name

    def open(self, adapter: str) -> str:
        """Load one more adapter, switch to it, and return its name. One that is there already is only switched to.

        Raises SettingError for a folder that holds none or one that does not fit; everything is then as it was.
        """
        folder = Path(adapter).expanduser().absolute()
        if folder not in self._folders:
            for name in (CONFIG, WEIGHTS):  # without this file of weights PEFT would read a pickle
                if not (folder / name).is_file():
                    raise SettingError(f"adapter {adapter!r}: no PEFT adapter is there ({name} is missing).")
            inside = f"adapter{len(self._inside)}"
            self.loaded = replace(self.loaded, model=self._with(folder, inside).eval())
            self._named(folder, inside)
        self.use(self._folders[folder])
        return self._folders[folder]

    @contextmanager
    def on(self) -> Iterator[LoadedModel]:
        """The model as it is switched now."""
        if self.active is not None or not self._inside:
            yield self.loaded
            return
        with self.loaded.model.disable_adapter():  # type: ignore[operator]
            yield self.loaded

    def _with(self, folder: Path, inside: str) -> Any:
        """The model with one more adapter on it; without what is left of one that does not fit."""
        from peft import PeftConfig, PeftModel, get_peft_model

        model: Any = self.loaded.model
        try:
            config = PeftConfig.from_pretrained(str(folder), inference_mode=True)
            if config.task_type not in (None, "CAUSAL_LM"):
                raise ValueError(f"It is for {config.task_type}.")
            if self._inside and not isinstance(model, PeftModel):
                raise TypeError("The adapter that is there already takes none beside it.")
            if isinstance(model, PeftModel):
                before, wrapped = model.active_adapter, model
                model.add_adapter(inside, config)
            else:
                before, wrapped = None, get_peft_model(model, config, adapter_name=inside)
        except CANNOT as error:
            raise self._unfit(folder, error) from error
        try:
            found = wrapped.load_adapter(str(folder), adapter_name=inside, torch_device=str(self.loaded.device))
            if odd := [*found.missing_keys, *found.unexpected_keys]:
                raise ValueError(f"{len(odd)} weights have no counterpart, among them {odd[0]}.")
        except BaseException as error:  # Ctrl-C, too, must not leave half an adapter
            if before is None:
                wrapped.unload()
            else:
                wrapped.delete_adapter(inside)
                wrapped.set_adapter(before, inference_mode=True)
            if isinstance(error, CANNOT):
                raise self._unfit(folder, error) from error
            raise
        return wrapped

    def _unfit(self, folder: Path, error: Exception) -> SettingError:
        reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
        return SettingError(
            f"adapter {str(folder)!r} does not fit {self.loaded.spec.name!r} and what is on it: {reason} "
            "An adapter only fits the model it was trained on."
        )

    def _named(self, folder: Path, inside: str) -> str:
        """Remember an adapter under as many last parts of its path as tell it from the others."""
        parts = folder.parts
        name = next(n for k in range(1, len(parts) + 1) if (n := "/".join(parts[-k:])) not in self._inside)
        self._inside[name] = inside
        self._folders[folder] = name
        return name
