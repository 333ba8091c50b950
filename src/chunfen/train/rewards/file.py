"""Rewards of the user's own: functions in a Python file, in our signature or in that of TRL.

def brief(replies, rows): ...                      (texts, rows) → numbers
def right(completions, solution, **columns): ...   as TRL calls it: messages, and columns by their names
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from chunfen.data.row import Message, Row
from chunfen.errors import ChunfenError, DataError, SettingError, did_you_mean
from chunfen.train.rewards.base import Maker, Reward, named, solution

SUFFIX = ".py"


def is_file(name: str) -> bool:
    """Whether a reward is named by a file: rewards.py or rewards.py:function.

    >>> is_file("my/rewards.py"), is_file("C:\\\\my\\\\rewards.py:polite"), is_file("length")
    (True, True, False)
    """
    return name.endswith(SUFFIX) or f"{SUFFIX}:" in name


def from_file(name: str) -> Maker:
    """The maker of the reward that a file defines; without :function, by its only public function.

    Raises SettingError where there is no such file or function, or the file cannot be run.
    """
    file, _, wanted = name.rpartition(":") if f"{SUFFIX}:" in name else (name, "", "")
    path = Path(file).expanduser()
    module = _run(path)
    own = [
        key
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
    ]
    if not wanted and len(own) != 1:
        defined = ", ".join(own) or "no function"
        raise SettingError(f"reward_funcs {name}: the file defines {defined}. Name one: {path}:function.")
    wanted = wanted or own[0]
    function = getattr(module, wanted, None)
    if not callable(function):
        hint = did_you_mean(wanted, own) or f" It defines {', '.join(own) or 'none'}."
        raise SettingError(f"reward_funcs {name}: the file has no function {wanted!r}.{hint}")
    return lambda settings, rows: _reward(function, path, f"{path}:{wanted}", rows)


def _run(path: Path) -> ModuleType:
    """The module of a file."""
    if not path.is_file():
        raise SettingError(f"reward_funcs {path}: there is no such file.")
    spec = spec_from_file_location(f"chunfen_reward_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickle look for it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SettingError(f"reward_funcs {path}: the file cannot be run: {_where(error, path)}") from error
    return module


def _reward(function: Callable[..., Any], path: Path, name: str, rows: Sequence[Row]) -> Reward:
    """The function as a reward whose errors name it."""
    taken = inspect.signature(function).parameters
    if "rows" in taken:
        call = function
    elif "completions" in taken:
        call = _as_trl_calls(function, name, rows)
    else:
        raise SettingError(
            f"reward_funcs {name}: the function takes {', '.join(taken) or 'nothing'}. It must take (replies, rows), "
            "or (completions, **columns) as TRL calls it."
        )

    def reward(replies: Sequence[str], rows: Sequence[Row]) -> Sequence[float | None]:
        try:
            found: Sequence[float | None] = call(replies, rows)
        except Exception as error:
            raise ChunfenError(f"reward {name} failed: {_where(error, path)}") from error
        return found

    return reward


def _as_trl_calls(function: Callable[..., Any], name: str, rows: Sequence[Row]) -> Callable[..., Any]:
    """The function called by keywords: prompts and completions as messages, and every column that a row has.

    Raises DataError for a column that it needs and a row lacks.
    """
    columns = sorted({key for row in rows for key in _columns(row)})
    taken = inspect.signature(function).parameters.values()
    everything = any(one.kind is one.VAR_KEYWORD for one in taken)
    for one in taken:
        if one.name in ("prompts", "completions") or one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
            continue
        lacking = next((n for n, row in enumerate(rows) if one.name not in _columns(row)), None)
        if one.default is one.empty and lacking is not None:
            where = named(rows[lacking], lacking)
            raise DataError(f"reward {name} needs the column {one.name!r}, which {where} does not have.")
    known = {one.name for one in taken}

    def call(replies: Sequence[str], rows: Sequence[Row]) -> Any:
        given = {
            "prompts": [_messages(row.prompt) for row in rows],
            "completions": [_messages([Message("assistant", reply)]) for reply in replies],
            **{key: [_columns(row).get(key) for row in rows] for key in columns},
        }
        return function(**{key: value for key, value in given.items() if everything or key in known})

    return call


def _columns(row: Row) -> dict[str, Any]:
    """The columns of a row beside its messages, and what is right as `solution` if it is not among them."""
    right = solution(row)
    return ({"solution": right} if right else {}) | dict(row.extra)


def _messages(turns: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _where(error: Exception, path: Path) -> str:
    """What went wrong, and in which line of the file."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.lineno:
        lines.append(error.lineno)
    line = f"line {lines[-1]}: " if lines else ""
    return f"{line}{type(error).__name__}: {error}"
