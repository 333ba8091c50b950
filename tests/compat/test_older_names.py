"""Every older name and value, on a real command line: what it becomes, and the one line that says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chunfen.settings.aliases import older_names

from .conftest import Swift

SFT = "swift sft --dataset alpaca-en"
TABLE: list[tuple[str, dict[str, Any]]] = [
    (f"{SFT} --sft_type full", {"tuner_type": "full"}),
    (f"{SFT} --train_type lora", {"tuner_type": "lora"}),
    (f"{SFT} --train-type adalora", {"tuner_type": "adalora"}),
    (f"{SFT} --model_type qwen-7b-chat", {"model": "qwen-7b-chat"}),
    (f"{SFT} --model_id_or_path some-org/some-model", {"model": "some-org/some-model"}),
    ("swift infer --ckpt_dir runs/one/adapter", {"adapters": ["runs/one/adapter"]}),
    (f"{SFT} --template_type chatml", {"template": "chatml"}),
    (f"{SFT} --template_type AUTO", {"template": None}),
    (f"{SFT} --prompt_template qwen_vl", {"template": "qwen"}),
    (f"{SFT} --dtype bf16", {"torch_dtype": "bfloat16"}),
    (f"{SFT} --dtype AUTO", {"torch_dtype": "auto"}),
    (f"{SFT} --quantization_bit 4", {"quant_bits": 4}),
    (f"{SFT} --quantization_bit 0", {"quant_bits": None}),
    (f"{SFT} --lora_target_modules DEFAULT", {"target_modules": ["all-linear"]}),
    (f"{SFT} --lora_target_modules AUTO", {"target_modules": ["all-linear"]}),
    (f"{SFT} --lora_target_modules ALL", {"target_modules": ["all-linear"]}),
    (f"{SFT} --lora_target_modules q_proj v_proj", {"target_modules": ["q_proj", "v_proj"]}),
    (f"{SFT} --lora_dropout_p 0.1", {"lora_dropout": 0.1}),
    (f"{SFT} --lora_lr_ratio 16", {"lorap_lr_ratio": 16.0}),
    (f"{SFT} --batch_size 2", {"per_device_train_batch_size": 2}),
    (f"{SFT} --eval_batch_size 2", {"per_device_eval_batch_size": 2}),
    (f"{SFT} --preprocess_num_proc 2", {"dataset_num_proc": 2}),
    (f"{SFT} --dataset_test_ratio 0.01", {"split_dataset_ratio": 0.01}),
    (f"{SFT} --dataset_seed 7", {"data_seed": 7}),
    ("swift sft --custom_train_dataset_path a.jsonl b.jsonl", {"dataset": ["a.jsonl", "b.jsonl"]}),
    (f"{SFT} --train_dataset_sample 1000", {"dataset": ["alpaca-en#1000"]}),
    (f"{SFT} --train_dataset_sample -1", {"dataset": ["alpaca-en"]}),
    (f"{SFT} --custom_register_path mine.py", {"external_plugins": ["mine.py"]}),
    (f"{SFT} --use_flash_attn true", {"attn_impl": "sdpa"}),
    (f"{SFT} --use_flash_attn false", {"attn_impl": "auto"}),
    (f"{SFT} --evaluation_strategy no", {"eval_strategy": "no"}),
    (f"{SFT} --neftune_alpha 5", {"neftune_noise_alpha": 5.0}),
    ("swift infer --ckpt_dir runs/one/adapter --load_dataset_config true", {"load_data_args": True}),
]
VALUES: list[tuple[str, dict[str, Any]]] = [
    (f"{SFT} --torch_dtype fp16", {"torch_dtype": "float16"}),
    (f"{SFT} --attn_impl flash_attn", {"attn_impl": "sdpa"}),
    ("swift infer --infer_backend pt", {"infer_backend": "transformers"}),
    *((f"{SFT} --deepspeed default-zero{n}", {"deepspeed": f"zero{n}"}) for n in range(4)),
]
RETIRED = ["adapter", "bone", "fourierft", "longlora", "qalora", "qlora"]


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()


def run(swift: Swift, line: str, meant: dict[str, Any]) -> str:
    """Check that a line means it, and give what was said about it."""
    done = swift(line, "--dry_run")
    assert done.returncode == 0, done.stderr
    settings = yaml.safe_load(done.stdout)
    assert {name: settings[name] for name in meant} == meant
    return done.stderr


@pytest.mark.parametrize(("line", "meant"), TABLE, ids=[line.removeprefix("swift ") for line, _ in TABLE])
def test_an_older_name_is_taken_and_said_once(swift: Swift, tmp_path: Path, line: str, meant: dict[str, Any]) -> None:
    for name in ("a.jsonl", "b.jsonl"):  # a dry run reads what is here
        (tmp_path / name).write_text('{"query": "hello", "response": "hello"}\n')
    old = next(word for word in reversed(line.split()) if word.startswith("--")).removeprefix("--")
    said = run(swift, line, meant)
    [today] = meant
    assert said.startswith("Older names were accepted: ") and said.count("\n") == 1
    assert re.search(rf"\b{old}( \S+)? is now {today}\b", said)


@pytest.mark.parametrize(("line", "meant"), VALUES, ids=[line.removeprefix("swift ") for line, _ in VALUES])
def test_an_older_value_is_taken(swift: Swift, line: str, meant: dict[str, Any]) -> None:
    said = run(swift, line, meant)
    old, value = line.split()[-2:]
    [(today, now)] = meant.items()
    assert said == f"Older names were accepted: {old.removeprefix('--')} {value} is now {today} {now}.\n"


def test_the_table_holds_every_older_name() -> None:
    tried = {word.removeprefix("--").replace("-", "_") for line, _ in TABLE for word in line.split()}
    assert set(older_names()) <= tried


def test_many_at_once_are_one_line(swift: Swift) -> None:
    line = "swift sft --model_type qwen-7b-chat --dataset alpaca-zh --sft_type lora --lora_dropout_p 0 --batch_size 4"
    done = swift(line, "--dry_run")
    assert done.stderr.count("\n") == 1
    for old in ("model_type", "sft_type", "lora_dropout_p", "batch_size"):
        assert f"{old} is now " in done.stderr


def test_a_file_may_use_older_names_too(swift: Swift, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("sft_type: full\nquantization_bit: 0\nuse_flash_attn: true\n")
    done = swift("swift sft old.yaml --dry_run")
    settings = yaml.safe_load(done.stdout)
    assert (settings["tuner_type"], settings["quant_bits"], settings["attn_impl"]) == ("full", None, "sdpa")
    assert done.stderr.count("\n") == 1 and "use_flash_attn true is now attn_impl sdpa" in done.stderr


@pytest.mark.parametrize("model", ["--model some-org/mine", "--model_id_or_path some-org/mine"])
@pytest.mark.parametrize("first", [True, False])
def test_a_model_type_may_stand_beside_the_model(swift: Swift, model: str, first: bool) -> None:
    words = ["--model_type qwen-7b", model]
    done = swift(f"{SFT} {' '.join(words if first else reversed(words))} --dry_run")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["model"] == "some-org/mine"
    assert done.stderr.count("\n") == 1 and "model_type is not needed, as model says which one" in done.stderr


def test_a_model_type_on_the_command_line_wins_over_a_file(swift: Swift, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("model: some-org/mine\ndataset: a.jsonl\n")
    (tmp_path / "a.jsonl").write_text('{"query": "hello", "response": "hello"}\n')
    done = swift("swift sft old.yaml --model-type qwen-7b --train-dataset-sample 5 --dry_run")
    settings = yaml.safe_load(done.stdout)
    assert (settings["model"], settings["dataset"]) == ("qwen-7b", ["a.jsonl#5"])
    assert "model-type is now model; train-dataset-sample 5 is now dataset NAME#5" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--dataset a b --train_dataset_sample 5", "is for one data set, and 2 are given"),
        ("--dataset a#3 --train_dataset_sample 5", "a#3 says it already"),
        ("--dataset a --train_dataset_sample many", "'many' is not accepted"),
        ("--train_dataset_sample 5", "is for one data set, and 0 are given"),
        ("--dataset a --train_dataset_sample", "--train_dataset_sample requires an argument"),
    ],
)
def test_a_sample_that_means_nothing_is_a_mistake(swift: Swift, words: str, said: str) -> None:
    done = swift(f"swift sft {words} --dry_run")
    assert done.returncode == 2 and said in done.stderr


@pytest.mark.parametrize("value", RETIRED)
def test_a_value_that_nothing_replaces_says_what_to_do(swift: Swift, value: str) -> None:
    done = swift(f"{SFT} --sft_type {value}")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--tuner_type {value} is an older value. Use --tuner_type " in done.stderr


def test_an_older_name_of_another_verb_says_what_it_was(swift: Swift) -> None:
    done = swift("swift infer --sft_type lora")
    assert done.returncode == 2
    assert "--sft_type is an older name of --tuner_type, which this command does not have." in done.stderr
