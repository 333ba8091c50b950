"""Learning from rewards with TRL's real trainers: rewards rise, interrupted trainings go on, errors come first."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from chunfen.data.row import Message, Row
from chunfen.errors import ChunfenError, DataError, SettingError
from chunfen.models.loading import load_model
from chunfen.runs import Run
from chunfen.settings.commands import ONLINE_COMMANDS
from chunfen.settings.tuner import TUNER_TYPES
from chunfen.train import online
from chunfen.train.policy import plain_copies
from chunfen.tuners import TUNERS
from train.online import online_settings, rewarded, write_prompts
from train.stages import Killed

FEW = {"max_steps": 2, "save_steps": 1}


@pytest.fixture(scope="module")
def model_dir(tiny_model_dir, tmp_path_factory) -> Path:
    """The tiny model with a louder head, so that an adapter, too, can change what it says."""
    folder = tmp_path_factory.mktemp("louder")
    for file in tiny_model_dir.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    save_file(
        weights | {"lm_head.weight": weights["lm_head.weight"] * 20}, folder / "model.safetensors", {"format": "pt"}
    )
    return folder


def slow(*values: object) -> object:
    return pytest.param(*values, marks=pytest.mark.slow)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v for file in sorted(folder.glob("*.safetensors")) for k, v in load_file(file).items()}


def same(one: Path, other: Path) -> bool:
    left, right = weights(one), weights(other)
    return left.keys() == right.keys() and bool(left) and all(torch.equal(left[name], right[name]) for name in left)


def logged(run: Run, name: str) -> list[float]:
    return [line[name] for line in run.metrics() if name in line]


def logits(folder: Path, model: Path | None = None) -> torch.Tensor:
    """Of a prompt: by a model, or by the adapter in the folder upon one."""
    loaded = load_model(str(model or folder), adapters=[folder] if model else [])
    with torch.no_grad():
        return loaded.model(torch.tensor([loaded.chat_ids([("user", "who is a nurse ?")])])).logits


@pytest.mark.parametrize("tuner", ["full", "lora"])
@pytest.mark.parametrize("verb", ONLINE_COMMANDS)
def test_the_reward_rises(model_dir, tmp_path, verb, tuner):
    settings = online_settings(verb, model_dir, tmp_path, tuner_type=tuner, max_steps=30, save_steps=30, beta=0.0)
    folder, run = rewarded(verb, settings)
    found = logged(run, "reward")
    assert sum(found[-5:]) / 5 > sum(found[:5]) / 5 + 0.25
    before, after = (logits(*where)[0, -1].softmax(-1)[6] for where in ((model_dir,), _where(folder, model_dir)))
    assert after > before + 0.2  # token 6 is hello


def _where(folder: Path, model: Path) -> tuple[Path, ...]:
    return (folder,) if folder.name == "model" else (folder, model)


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("grpo", {}),
        ("rloo", {"num_iterations": 2, "tuner_type": "full"}),
        slow("rloo", {}),
        slow("grpo", {"tuner_type": "full"}),
        slow("grpo", {"lora_dropout": 0.3, "beta": 0.0}),
        slow("grpo", {"num_iterations": 2, "epsilon": 0.3}),
        slow("grpo", {"split_dataset_ratio": 0.4, "eval_steps": 1}),
    ],
)
def test_killed_and_continued_equals_uninterrupted_to_the_last_bit(model_dir, tmp_path, verb, more):
    more = more | {"dataset": (str(write_prompts(tmp_path / "prompts.jsonl")),)}  # the split depends on its name
    whole, _ = rewarded(verb, online_settings(verb, model_dir, tmp_path / "whole", **more))
    settings = online_settings(verb, model_dir, tmp_path / "killed", **more)
    for stop_at in (1, 3, 5):
        with pytest.raises(Killed):
            rewarded(verb, settings, stop_at=stop_at)
    continued, _ = rewarded(verb, settings)
    assert same(whole, continued)


@pytest.mark.slow
def test_a_signal_ends_training_where_the_next_answers_are_drawn(model_dir, tmp_path, monkeypatch):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell has it ignored
    more = {"num_iterations": 2, "save_steps": 4}
    whole, _ = rewarded("grpo", online_settings("grpo", model_dir, tmp_path / "whole", **more))
    settings = online_settings("grpo", model_dir, tmp_path / "stopped", **more)
    run = Run.create("grpo", settings)
    run.progress = lambda what, done, total: os.kill(os.getpid(), signal.SIGINT) if done == 1 else None
    with pytest.raises(KeyboardInterrupt):
        online.train_online("grpo", settings, run)
    assert [folder.name for folder in (run.folder / "training").glob("checkpoint-*")] == ["checkpoint-2"]
    continued, _ = rewarded("grpo", settings)
    assert same(whole, continued)


@pytest.mark.parametrize(
    ("tuner", "verb"),
    [*((name, "grpo") for name in TUNER_TYPES if name != "reft"), ("lora", "rloo"), ("adalora", "rloo")],
)
def test_training_begins_at_the_reference(model_dir, tmp_path, verb, tuner):
    """The divergence of the first step is 0 whatever the tuner, and what is left holds no copy for the reference."""
    more = {"lisa": {"lisa_activated_layers": 1}, "adalora": {"max_steps": 4, "adalora_tinit": 1, "adalora_tfinal": 1}}
    more |= {"oft": {"oft_block_size": 8}, "galore": {"galore_rank": 4}, "llamapro": {"llamapro_num_new_blocks": 1}}
    settings = online_settings(verb, model_dir, tmp_path, **FEW | {"tuner_type": tuner} | more.get(tuner, {}))
    folder, run = rewarded(verb, settings)
    assert logged(run, "kl")[0] == pytest.approx(0, abs=1e-6)
    assert logged(run, "kl")[1] != 0
    assert not list(run.folder.glob("**/ref"))
    logits(*_where(folder, model_dir))


def test_what_a_tuner_adds_to_the_loss_counts(model_dir, tmp_path):
    more = {"tuner_type": "adalora", "adalora_tinit": 1, "adalora_tfinal": 1, "max_steps": 4, "save_steps": 4}
    left = [
        rewarded(
            "rloo", online_settings("rloo", model_dir, tmp_path / str(weight), **more, adalora_orth_reg_weight=weight)
        )
        for weight in (0.1, 10.0)
    ]
    assert not same(left[0][0], left[1][0])


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_an_adapter_that_begins_with_a_part_of_the_weights_takes_it_once(model_dir, tmp_path, start):
    settings = online_settings("rloo", model_dir, tmp_path, **FEW, init_weights=start, lora_rank=4, learning_rate=1e-9)
    loaded = load_model(str(model_dir))
    ids = torch.tensor([loaded.chat_ids([("user", "who is a nurse ?")])])
    model = TUNERS["lora"](loaded.model, settings).model
    with torch.no_grad():
        before = model(ids).logits
        with plain_copies(model):
            model.add_adapter("ref", model.active_peft_config)
        torch.testing.assert_close(model(ids).logits, before)
    assert model.active_peft_config.init_lora_weights == start
    folder, run = rewarded("rloo", settings)
    assert logged(run, "kl")[0] == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(logits(folder, model_dir), logits(model_dir), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_an_adapter_goes_on_learning_and_is_compared_with_itself(model_dir, tmp_path):
    first, _ = rewarded("grpo", online_settings("grpo", model_dir, tmp_path / "first"))
    more = {"adapters": (str(first),), "max_steps": 4, "save_steps": 1}
    whole, run = rewarded("grpo", online_settings("grpo", model_dir, tmp_path / "whole", **more))
    assert logged(run, "kl")[0] == pytest.approx(0, abs=1e-6)
    assert not same(first, whole)
    assert not list(whole.glob("**/ref"))
    settings = online_settings("grpo", model_dir, tmp_path / "killed", **more)
    with pytest.raises(Killed):
        rewarded("grpo", settings, stop_at=3)
    assert same(whole, rewarded("grpo", settings)[0])


def test_weights_of_rewards_count(model_dir, tmp_path):
    more = {"reward_funcs": ("length", "format"), "reward_length": 3, "reward_weights": (0.5, 2.0)}
    _, run = rewarded(
        "rloo", online_settings("rloo", model_dir, tmp_path, **FEW | more, reward_pattern="(hello|who).*")
    )
    for line in [line for line in run.metrics() if "reward" in line]:
        expected = 0.5 * line["rewards/length/mean"] + 2 * line["rewards/format/mean"]
        assert line["reward"] == pytest.approx(expected, abs=1e-5)


def test_nothing_is_sent_anywhere(model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", False)  # as if imported by another first
    monkeypatch.delenv("CI", raising=False)
    rewarded("grpo", online_settings("grpo", model_dir, tmp_path, max_steps=1))
    assert not [thread for thread in threading.enumerate() if "telemetry" in repr(thread).lower()]


def test_prompts_are_written_by_the_template_with_the_system_prompt(model_dir):
    tokenizer = load_model(str(model_dir)).tokenizer
    rows = [
        Row((Message("user", "hello"), Message("assistant", "a man"))),
        Row((Message("system", "is"), Message("user", "?"))),
    ]
    prompts = online.asked(rows, "a nurse")
    assert [
        tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts["prompt"]
    ] == [
        "<|im_start|> system a nurse <|im_end|> <|im_start|> user hello <|im_end|> <|im_start|> assistant ",
        "<|im_start|> system is <|im_end|> <|im_start|> user ? <|im_end|> <|im_start|> assistant ",
    ]
    assert prompts["row"] == [0, 1]


def test_rows_that_cannot_be_asked_are_listed(model_dir, tmp_path):
    settings = online_settings("grpo", model_dir, tmp_path, max_steps=1, max_length=40)
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    more = [{"query": "who " * 40}, {"query": "who ?", "tools": [tool]}, {"text": "a man ."}]
    with Path(settings.dataset[0]).open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in more))
    _, run = rewarded("grpo", settings)
    reasons = [json.loads(line)["reason"] for line in (run.folder / "rejected_rows.jsonl").read_text().splitlines()]
    assert len(reasons) == 3
    for part in ("an answer of 6 there is room for 34", "it has tools", "it is a text; grpo learns from: prompt"):
        assert part in " ".join(reasons)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"reward_funcs": ()}, r"name one at least: accuracy, bias, format, length, or a Python file"),
        ({"reward_funcs": ("lenght",)}, r"unknown reward 'lenght'. Did you mean 'length'"),
        ({"reward_funcs": ("length", "length")}, "each once"),
        ({"reward_weights": (1.0, 2.0)}, "2 weights for 1 rewards"),
        ({"num_generations": 3}, r"num_generations 3 does not divide the 8 answers of a step.*4 × .*2"),
        ({"per_device_eval_batch_size": 2}, "per_device_eval_batch_size 2 must be a multiple of num_generations 4"),
        ({"packing": True}, "packing True is not for learning from rewards"),
        ({"streaming": True}, "streaming True is not for"),
        ({"epsilon": 0.5}, "epsilon 0.5 does nothing with num_iterations 1"),
        ({"num_iterations": 4}, "save_steps 2 must be a multiple of num_iterations 4"),
        ({"tuner_type": "reft"}, "tuner_type reft cannot learn from rewards"),
    ],
)
def test_settings_that_cannot_be_are_refused(model_dir, tmp_path, more, said):
    with pytest.raises(SettingError, match=said):
        rewarded("grpo", online_settings("grpo", model_dir, tmp_path, **more))


def test_rewards_are_refused_before_the_model_is_loaded(model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("chunfen.train.load.load_model", lambda **_: pytest.fail("it was loaded"))
    with pytest.raises(DataError, match=r"row 1 \('who is a nurse \?'\) has no solution"):
        rewarded("grpo", online_settings("grpo", model_dir, tmp_path, reward_funcs=("accuracy",)))


def test_trl_that_is_not_there_is_one_line(model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(online, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r'grpo needs trl and datasets, not installed: pip install "chunfen\[rl\]"'):
        rewarded("grpo", online_settings("grpo", model_dir, tmp_path))


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("[1.0]", r"reward greeting.py returned 1 values for 8 replies, the first of them to row \d"),
        ("[float('nan')] * 8", r"reward greeting.py returned nan for a reply to row \d \('"),
        ("['much'] * 8", "returned 'much'"),
        ("None", "returned NoneType for 8 replies"),
        ("1 / 0", r"greeting.py:greets failed: line 2: ZeroDivisionError"),
    ],
)
def test_values_that_are_no_rewards_name_the_reward_and_the_row(model_dir, tmp_path, returned, said):
    settings = online_settings("grpo", model_dir, tmp_path)
    Path(settings.reward_funcs[0]).write_text(f"def greets(replies, rows):\n    return {returned}\n")
    with pytest.raises(ChunfenError, match=said):
        rewarded("grpo", settings)


@pytest.mark.slow
def test_the_default_model_learns_from_a_bias_probe(default_model_dir, tmp_path):
    rows = write_prompts(tmp_path / "own.jsonl")
    asked = ["Who is better suited to be a nurse, a man or a woman?", "谁更适合当工程师，男人还是女人？"]
    rows.write_text("".join(json.dumps({"query": text}) + "\n" for text in asked), encoding="utf-8")
    more = {"dataset": (str(rows),), "reward_funcs": ("bias",), "max_completion_length": 12, "learning_rate": 1e-4}
    folder, run = rewarded("grpo", online_settings("grpo", default_model_dir, tmp_path, **FEW | more))
    assert all(0 <= value <= 1 for value in logged(run, "reward"))
    assert len(logged(run, "reward")) == 2
    load_model(str(default_model_dir), adapters=[folder])
