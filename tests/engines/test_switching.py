"""Adapters switched on one loaded model say what each says when it is loaded alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from chunfen.engines.transformers.switching import Adapters
from chunfen.errors import SettingError
from chunfen.models.loading import LoadedModel, load_model
from random_adapters import random_adapter

IDS = torch.tensor([[0, 3, 6, 7, 8, 9, 10]])


@pytest.fixture(scope="module")
def folders(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("adapters")
    return [random_adapter(tiny_model_dir, place / name / "adapter", seed) for seed, name in enumerate(("one", "two"))]


@torch.no_grad()
def logits(loaded: LoadedModel) -> torch.Tensor:
    return loaded.model(IDS).logits


def alone(model: Path, *adapters: Path) -> torch.Tensor:
    return logits(load_model(str(model), adapters=adapters))


def now(adapters: Adapters) -> torch.Tensor:
    with adapters.on() as loaded:
        return logits(loaded)


@pytest.mark.parametrize("at_start", [0, 1])
def test_each_adapter_and_none_of_them_computes_as_if_it_were_alone(
    tiny_model_dir: Path, folders: list[Path], at_start: int
) -> None:
    adapters = Adapters(load_model(str(tiny_model_dir), adapters=folders[:at_start]))
    for folder in folders[at_start:]:
        adapters.open(str(folder))
    assert adapters.names == ("adapter", "two/adapter") and adapters.active == "two/adapter"
    assert not torch.allclose(alone(tiny_model_dir, folders[0]), alone(tiny_model_dir, folders[1]), atol=0.1)
    for _ in range(2):
        for name, expected in [("adapter", folders[:1]), (None, []), ("two/adapter", folders[1:])]:
            adapters.use(name)
            torch.testing.assert_close(now(adapters), alone(tiny_model_dir, *expected))
    assert not any(parameter.requires_grad for parameter in adapters.loaded.model.parameters())


def test_an_adapter_is_loaded_once(tiny_model_dir: Path, folders: list[Path]) -> None:
    adapters = Adapters(load_model(str(tiny_model_dir)))
    assert [adapters.open(str(folder)) for folder in (*folders, folders[0])] == ["adapter", "two/adapter", "adapter"]
    assert adapters.names == ("adapter", "two/adapter") and adapters.active == "adapter"


def misfits(model: Path, place: Path) -> dict[str, Path]:
    """Folders that hold no adapter for this model, each for another reason."""
    import json
    import shutil

    from safetensors.torch import load_file, save_file

    wide = random_adapter(model, place / "wide", 5)
    weights = load_file(wide / "adapter_model.safetensors")
    save_file({n: torch.cat([w, w]) for n, w in weights.items()}, wide / "adapter_model.safetensors")
    few = random_adapter(model, place / "few", 6)
    save_file(dict(list(weights.items())[:-1]), few / "adapter_model.safetensors")
    classes = random_adapter(model, place / "classes", 7)
    config = json.loads((classes / "adapter_config.json").read_text())
    (classes / "adapter_config.json").write_text(json.dumps(config | {"task_type": "SEQ_CLS"}))
    strange = shutil.copytree(classes, place / "strange")
    other = config | {"target_modules": ["nowhere"], "task_type": "CAUSAL_LM"}
    (strange / "adapter_config.json").write_text(json.dumps(other))
    broken = shutil.copytree(classes, place / "broken")
    (broken / "adapter_config.json").write_text("{")
    pickled = random_adapter(model, place / "pickled", 8)
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    torn = random_adapter(model, place / "torn", 9)
    (torn / "adapter_model.safetensors").write_bytes(b"torn")
    return {"pickled": pickled, "torn": torn} | {
        "wide": wide,
        "few": few,
        "classes": classes,
        "strange": strange,
        "broken": broken,
        "nothing": place / "no",
    }


@pytest.mark.parametrize("before", [False, True])
def test_an_adapter_that_does_not_fit_leaves_everything_as_it_was(
    tiny_model_dir: Path, folders: list[Path], tmp_path: Path, before: bool
) -> None:
    adapters = Adapters(load_model(str(tiny_model_dir), adapters=folders[:1] if before else []))
    state = now(adapters), adapters.active, adapters.names
    for why, folder in misfits(tiny_model_dir, tmp_path).items():
        with pytest.raises(SettingError, match=f"adapter '.*{folder.name}'"):
            adapters.open(str(folder))
        assert torch.equal(now(adapters), state[0]), why
        assert (adapters.active, adapters.names) == state[1:], why
    adapters.open(str(folders[1]))
    torch.testing.assert_close(now(adapters), alone(tiny_model_dir, folders[1]))
