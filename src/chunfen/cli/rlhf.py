"""chunfen rlhf: another way to write the verbs of alignment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chunfen.errors import SettingError, did_you_mean

TYPES = ("dpo", "simpo", "cpo", "orpo", "kto", "rm", "grpo", "rloo")
"""What `--rlhf_type` may say; each is a verb of its own."""
DEFAULT = "dpo"


def rlhf() -> int:
    """Align a model: `chunfen rlhf --rlhf_type X …` is `chunfen X …`, where X is dpo (if none is given), simpo, cpo,
    orpo, kto, rm, grpo or rloo. `chunfen X --help` shows what each takes.
    """
    raise SettingError(f"rlhf: give --rlhf_type, one of {', '.join(TYPES)}, and its options.")


def as_verb(tokens: Sequence[str]) -> list[str]:
    """The same command line with the verb that `rlhf` stands for.

    >>> as_verb(["rlhf", "--rlhf_type", "kto", "--beta", "0.1"])
    ['kto', '--rlhf_type', 'kto', '--beta', '0.1']
    >>> as_verb(["sft", "--help"])
    ['sft', '--help']
    """
    if tokens[:1] != ["rlhf"] or list(tokens) in (["rlhf", "--help"], ["rlhf", "-h"]):
        return list(tokens)
    kind = _given(tokens) or _in_file(tokens) or DEFAULT
    if kind not in TYPES:
        raise SettingError(f"--rlhf_type {kind}: unknown.{did_you_mean(kind, TYPES)} It takes {', '.join(TYPES)}.")
    return [kind, *tokens[1:]]


def _given(tokens: Sequence[str]) -> str | None:
    for place, token in enumerate(tokens):
        name, equals, value = token.partition("=")
        if name.replace("-", "_") == "__rlhf_type":
            return value if equals else next(iter(tokens[place + 1 :]), None)
    return None


def _in_file(tokens: Sequence[str]) -> str | None:
    from chunfen.settings.resolve import read_yaml

    file = next((token for token in tokens[1:2] if token.endswith((".yaml", ".yml"))), None)
    found = read_yaml(file).get("rlhf_type") if file and Path(file).is_file() else None
    return None if found is None else str(found.value)
