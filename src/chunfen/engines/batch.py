"""Replies to every row of a data set, written as they come, so that a killed run goes on where it stopped.

Rows are answered in fixed batches, each a function of its rows and the settings alone: a batch that was cut off is
computed again, and what is missing of it is written. The file is then the same as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from chunfen.data.load import REJECTED, Rejected
from chunfen.data.row import Message, Row
from chunfen.data.source import load_datasets
from chunfen.engines.base import Engine, Request, Sampling
from chunfen.engines.prompt import as_prompt, context_length, require_place
from chunfen.errors import DataError, RunError, SettingError
from chunfen.models.templates import has_template
from chunfen.runs.files import write_text
from chunfen.settings.data import DataSettings
from chunfen.settings.model import ModelSettings
from chunfen.settings.saved import saved_data

if TYPE_CHECKING:
    from chunfen.models.loading import LoadedModel
    from chunfen.runs import Run
    from chunfen.settings.commands import InferCommand

RESULTS = "results.jsonl"


@dataclass(frozen=True, slots=True)
class Question:
    """A row that can be asked. number: its place among the rows that could be read, from 0."""

    number: int
    row: Row
    prompt: str | tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that could be read but not asked, and why."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a data set. rows: with a reply. before: those of them that an earlier start had written."""

    path: Path
    rows: int
    before: int
    rejected: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """Of this start alone."""
        return (self.rows - self.before) / max(self.seconds, 1e-9)


def answer_data_set(settings: InferCommand, run: Run) -> Answered:
    """Answer every row of the settings' data set into one file of JSON lines, in the order of the rows.

    A line has the row's messages with the reply, `response`, `labels` (the answer that the row gave), its other
    columns, and `row`. Rows that cannot be read or asked are listed in the run's rejected_rows.jsonl. A run that is
    continued keeps what it has written. Raises SettingError for settings that do not go together, DataError where no
    row is left, RunError where model, data or results are not those that the run began with.
    """
    from chunfen.engines.transformers import TransformersEngine
    from chunfen.models.loading import load_model

    path = settings.result_path or run.folder / RESULTS
    if path.exists() and "rows" not in run.manifest["facts"]:
        raise SettingError(_taken(path))
    rows, rejected = _rows(settings)
    loaded = load_model(**{name: getattr(settings, name) for name in ModelSettings.model_fields})
    require_place(loaded, settings.system)
    _same(run, rows=_hash(rows), model=loaded.fingerprint)
    questions, refused = ask(rows, loaded, settings.max_new_tokens)
    listed: list[Rejected | Refused] = [*rejected, *refused]
    write_text(run.folder / REJECTED, "".join(_line(asdict(row)) for row in listed))
    if refused and (settings.strict or not questions):
        raise DataError(f"row {refused[0].row} cannot be asked: {refused[0].reason}.")
    sampling = Sampling(
        settings.max_new_tokens,
        settings.temperature,
        settings.top_p,
        settings.top_k,
        settings.num_return_sequences,
        settings.seed,
    )
    engine = TransformersEngine(loaded, batch_tokens=settings.batch_tokens)
    began = perf_counter()
    before = answer(engine, questions, sampling, path, size=settings.max_batch_size, run=run)
    return Answered(path, len(questions), before, len(listed), perf_counter() - began)


def check(settings: InferCommand) -> None:
    """Refuse settings that do not go together, before there is a run. Raises SettingError."""
    if settings.prompt is not None:
        raise SettingError("prompt and dataset: give one question, or a data set of them.")
    if settings.load_data_args:
        saved_data(settings.adapters, settings.model)  # is there such a file?
        if settings.dataset:
            raise SettingError("dataset and load_data_args both say what to answer; give one of them.")
    if settings.repetition_penalty != 1:
        raise SettingError(
            f"repetition_penalty {settings.repetition_penalty}: a data set is answered without it. Leave it at 1."
        )
    if settings.num_return_sequences > 1 and settings.temperature == 0:
        raise SettingError(
            f"num_return_sequences {settings.num_return_sequences} with temperature 0: all replies would be the same."
        )
    path = settings.result_path
    if path is not None and path.suffix != ".jsonl":
        raise SettingError(f"result_path {str(path)!r}: the replies are JSON lines; give a name that ends in .jsonl.")
    if path is not None and path.exists() and not settings.resume:
        raise SettingError(_taken(path))


def ask(rows: Sequence[Row], loaded: LoadedModel, max_new_tokens: int) -> tuple[list[Question], list[Refused]]:
    """The questions that the rows put to this model, and the rows that put none that it can be given."""
    from chunfen.engines.transformers.tokens import encode_prompt

    chat, limit = has_template(loaded.tokenizer), context_length(loaded)
    questions: list[Question] = []
    refused: list[Refused] = []
    for number, row in enumerate(rows):
        try:
            prompt = _prompt(row, chat)
            length = len(encode_prompt(loaded.tokenizer, prompt, system=loaded.system)) + max_new_tokens
            if limit and length > limit:
                raise DataError(f"with the reply it may have {length} tokens; the model reads {limit}")
        except (DataError, SettingError, TemplateError) as error:
            refused.append(Refused(number, str(error).rstrip(".")))
        else:
            questions.append(Question(number, row, prompt))
    return questions, refused


def answer(
    engine: Engine, questions: Sequence[Question], sampling: Sampling, path: Path, *, size: int, run: Run
) -> int:
    """Write the replies that are not in the file yet. Returns how many questions it had replies to.

    size: questions that are given to the engine together.
    """
    written = _kept(path, questions, sampling.samples)
    before = written // sampling.samples
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        for first in range(before // size * size, len(questions), size):
            batch, began = questions[first : first + size], perf_counter()
            run.progress("rows", max(first, before), len(questions))
            replies = engine.generate([Request(question.prompt, sampling=sampling) for question in batch])
            lines = [line for pair in zip(batch, replies, strict=True) for line in _lines(pair[0], pair[1].texts)]
            file.writelines(lines[max(0, written - first * sampling.samples) :])
            file.flush()
            run.metric(rows=first + len(batch), rows_per_second=len(batch) / (perf_counter() - began))
    run.progress("rows", len(questions), len(questions))
    return before


def record(question: Question, text: str) -> dict[str, Any]:
    """A reply as a row of its own. What the row said about the answer that it gave itself is under `given`.

    >>> row = Row((Message("user", "2+2?"), Message("assistant", "4")), label=True, extra={"id": "a"})
    >>> line = record(Question(0, row, "2+2?"), "5")
    >>> line["messages"][-1]["content"], line["response"], line["labels"], line["given"], line["id"], line["row"]
    ('5', '5', '4', {'label': True}, 'a', 0)
    """
    row = question.row
    told = replace(row, rejected=(), label=None, margin=None, extra={})
    said = (
        replace(told, text=row.text + text)
        if row.text
        else replace(told, messages=(*row.prompt, Message("assistant", text)))
    )
    given = {name: value for name, value in row.as_dict().items() if name in ("rejected_messages", "label", "margin")}
    return {
        **said.as_dict(),
        "response": text,
        "labels": row.messages[-1].content if row.answered else row.label,
        **({"given": given} if given else {}),
        **{name: value for name, value in row.extra.items() if name not in OURS},
        "row": question.number,
    }


OURS = frozenset({"response", "labels", "given", "row", "sample"})
"""Columns of the results; one of a row that has the same name gives way."""


def _prompt(row: Row, chat: bool) -> str | tuple[tuple[str, str], ...]:
    """What a row asks. DataError for one that asks nothing, or what this engine cannot be given."""
    if row.text:
        return row.text
    media = [name for name in ("images", "videos", "audios", "tools") if getattr(row, name)]
    if media or any(message.tool_calls for message in row.prompt):
        raise DataError(f"it has {media[0] if media else 'calls of tools'}, and only text can be asked here")
    if not row.prompt:
        raise DataError("it has an answer, but no question")
    return as_prompt([(message.role, message.content) for message in row.prompt], chat=chat)


def _rows(settings: InferCommand) -> tuple[list[Row], list[Rejected]]:
    if settings.load_data_args:
        data = saved_data(settings.adapters, settings.model).model_copy(update={"strict": settings.strict})
        loaded = load_datasets(data.dataset, data)
        return loaded.validation or loaded.rows, loaded.rejected
    loaded = load_datasets(settings.dataset, DataSettings(strict=settings.strict, data_seed=settings.seed))
    return loaded.rows, loaded.rejected


def _lines(question: Question, texts: Sequence[str]) -> Iterator[str]:
    for sample, text in enumerate(texts):
        yield _line(record(question, text) | ({"sample": sample} if len(texts) > 1 else {}))


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) + "\n"  # tables hold dates, too


def _kept(path: Path, questions: Sequence[Question], samples: int) -> int:
    """How many lines of the file stay: whole ones. A half-written last one is cut off."""
    if not path.exists():
        return 0
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    lines = content[:end].splitlines()
    wanted = [question.number for question in questions for _ in range(samples)][: len(lines)]
    try:
        there = [json.loads(line)["row"] for line in lines]
    except (ValueError, KeyError, TypeError):
        there = []
    if there != wanted:
        raise RunError(f"{path} holds something else than what this run has written. Name another --result_path.")
    with path.open("rb+") as file:
        file.truncate(end)
    return len(lines)


def _taken(path: Path) -> str:
    return f"result_path {str(path)!r} is there already. Remove it, choose another name, or go on with --resume."


def _hash(rows: Sequence[Row]) -> str:
    """One hash over all rows, wherever they came from."""
    return hashlib.sha256("".join(_line(row.as_dict()) for row in rows).encode()).hexdigest()


def _same(run: Run, **facts: Any) -> None:
    """Note what the run works on; if it is continued, that this has not changed."""
    for name, value in facts.items():
        if run.manifest["facts"].get(name, value) != value:
            raise RunError(f"the {name} of {run.folder} changed since it began. Start again without --resume.")
    run.record(**facts)
