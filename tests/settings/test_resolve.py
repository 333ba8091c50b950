"""Where a value comes from, which names are taken, and what is said when it cannot be used."""

from pathlib import Path

import pytest

from chunfen.errors import SettingError
from chunfen.settings.commands import COMMANDS, AuditCommand, RepairCommand
from chunfen.settings.resolve import resolve


def yaml_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_command_line_wins_over_yaml_over_saved_over_defaults(tmp_path: Path) -> None:
    config = yaml_file(tmp_path, "# mine\nlora_rank: 16\nseed: 7\n")
    found = resolve(RepairCommand, config, {"seed": "9"}, {"lora_rank": 64, "lora_alpha": 5, "max_steps": 3})
    assert (found.settings.seed, found.settings.lora_rank, found.settings.lora_alpha) == (9, 16, 5.0)
    assert found.settings.lora_dropout == RepairCommand().lora_dropout
    assert found.origin["seed"] == "command line"
    assert found.origin["lora_rank"] == "config.yaml:2"
    assert found.origin["lora_alpha"] == "saved settings"
    assert found.origin["lora_dropout"] == "default"
    assert set(found.origin) == set(RepairCommand.model_fields)


@pytest.mark.parametrize("name", ["lora_rank", "lora-rank"])
def test_hyphens_and_underscores_are_the_same_in_yaml_too(tmp_path: Path, name: str) -> None:
    assert resolve(RepairCommand, yaml_file(tmp_path, f"{name}: 3")).settings.lora_rank == 3


@pytest.mark.parametrize("typed", [["en", "zh"], ["en,zh"], ["en, zh"], ["en,", "zh"]])
def test_lists_take_spaces_or_commas(typed: list[str]) -> None:
    assert resolve(AuditCommand, None, {"languages": typed}).settings.languages == ("en", "zh")


def test_a_list_in_yaml_may_be_a_list_or_text(tmp_path: Path) -> None:
    for text in ("endpoints: [line, story]", "endpoints: line,story", "endpoints:\n- line\n- story"):
        assert resolve(AuditCommand, yaml_file(tmp_path, text)).settings.endpoints == ("line", "story")


def test_none_and_scientific_notation(tmp_path: Path) -> None:
    config = yaml_file(tmp_path, "limit: 5\nfail_over: 1e-1\n")
    found = resolve(AuditCommand, config, {"limit": "none"})
    assert found.settings.limit is None
    assert found.settings.fail_over == 0.1


def test_older_names_and_values_become_todays_and_are_named_once() -> None:
    typed = {
        "model_id_or_path": "org/m",
        "dtype": "bf16",
        "lora_target_modules": ["ALL"],
        "lora-dropout-p": "0",
    }
    found = resolve(RepairCommand, None, typed)
    settings = found.settings
    assert (settings.model, settings.torch_dtype, settings.target_modules) == (
        "org/m",
        "bfloat16",
        ("all-linear",),
    )
    assert len(found.warnings) == 1
    assert all(old in found.warnings[0] for old in typed)
    assert resolve(RepairCommand, None, {"model": "org/m"}).warnings == ()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"lora_rnk": "8"}, "Unknown option --lora_rnk. Did you mean 'lora_rank'"),
        ({"batch_size": "8"}, "--batch_size is an older name of --per_device_train_batch_size"),
        ({"model": "a", "model_id_or_path": "b"}, "--model and --model_id_or_path are the same option"),
        ({"lora_rank": "x"}, "--lora_rank: 'x' is not accepted; it takes a whole number ≥ 1."),
        ({"lora_rank": "0"}, "--lora_rank: '0' is not accepted; it takes a whole number ≥ 1."),
        ({"languages": ["en", "fr"]}, "--languages: en fr is not accepted; it takes a list of: en, zh."),
        ({"split": "tset"}, "--split: 'tset' is not accepted; it takes train, dev, test."),
        ({"resume": "perhaps"}, "--resume: 'perhaps' is not accepted; it takes true or false."),
    ],
)
def test_what_cannot_be_used_is_named_with_what_can(typed: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError) as error:
        resolve(RepairCommand, None, typed)
    assert said in str(error.value)
    assert error.value.exit_code == 2


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(SettingError) as error:
        resolve(RepairCommand, None, {"lora_rank": "x", "seed": "y", "limit": "0"})
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nlora_rnk: 8", "config.yaml:2"),
        ("seed: 1\nlora_rank: no", "lora_rank (config.yaml:2): False is not accepted"),
        ("seed: 1\nseed: 2", "config.yaml:2: seed is given twice"),
        ("- seed", "holds no settings"),
        ("seed: [", "config.yaml:1: not YAML"),
        ("lora_rank: 1\nlora-rank: 2", "are the same option"),
    ],
)
def test_mistakes_in_a_file_name_the_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingError) as error:
        resolve(RepairCommand, yaml_file(tmp_path, text))
    assert said in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"nowhere\.yaml"):
        resolve(RepairCommand, tmp_path / "nowhere.yaml")


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert resolve(AuditCommand, yaml_file(tmp_path, "# nothing\n")).settings == AuditCommand()


@pytest.mark.parametrize("verb", COMMANDS)
def test_settings_survive_json(verb: str) -> None:
    settings = COMMANDS[verb]()
    assert type(settings).model_validate(settings.model_dump(mode="json")) == settings
