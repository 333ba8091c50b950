"""Flags as people write them."""

import pytest

from chunfen.cli.spelling import spell
from chunfen.errors import SettingError
from chunfen.settings.commands import BalanceCommand


@pytest.mark.parametrize(
    ("typed", "spelled"),
    [
        (["--lora-rank", "4"], ["--lora_rank", "4"]),
        (["--lora_rank=4"], ["--lora_rank=4"]),
        (["--resume", "true", "x.yaml"], ["--resume=true", "x.yaml"]),
        (["--resume", "x.yaml"], ["--resume", "x.yaml"]),
        (["--no-resume"], ["--no-resume"]),
        (["--trust-remote-code", "False"], ["--trust_remote_code=false"]),
        (["--sft-type=lora"], ["--tuner_type=lora"]),
        (["--help"], ["--help"]),
        (["--name", "--", "--what-ever"], ["--name", "--", "--what-ever"]),
        (["--system", "true"], ["--system", "true"]),
    ],
)
def test_every_way_of_writing_becomes_one(typed: list[str], spelled: list[str]) -> None:
    assert spell(typed, BalanceCommand)[0] == spelled


def test_what_was_typed_is_remembered() -> None:
    assert spell(["--sft-type", "lora", "--seed=3"], BalanceCommand)[1] == {
        "tuner_type": "sft-type",
        "seed": "seed",
    }


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--lora_rnk", "4"], "Unknown option --lora_rnk. Did you mean 'lora_rank'"),
        (["--no-model"], "Unknown option --no-model"),
        (["--sft_type=lora", "--train_type=lora"], "are the same option"),
    ],
)
def test_mistakes_are_named_as_typed(typed: list[str], said: str) -> None:
    with pytest.raises(SettingError) as error:
        spell(typed, BalanceCommand)
    assert said in str(error.value)
