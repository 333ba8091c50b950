"""chunfen data: which data sets are known, and what is in one, before anything is trained on it."""

from __future__ import annotations

import json
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from chunfen.cli.app import new_app
from chunfen.cli.table import table
from chunfen.data.check import summary
from chunfen.data.load import REJECTED, Rejected, write_rejected
from chunfen.errors import DataError, SettingError, did_you_mean
from chunfen.runs.files import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.text import Text

    from chunfen.data.encode import Tokens
    from chunfen.data.row import Row

COMMANDS = {
    "list": ("List the data sets that are known by name.", "chunfen.cli.data:list_datasets"),
    "check": ("Say what a data set holds, and which rows cannot be read.", "chunfen.cli.data:check"),
    "show": ("Show rows as the conversations they are read as.", "chunfen.cli.data:show"),
    "convert": ("Write the rows of any known format in the standard one.", "chunfen.cli.data:convert"),
}
app = new_app("data", "List, check, show and convert data sets.", COMMANDS)

Words = Annotated[str, Parameter(help="Only sets with all of these in name, aliases, ids, languages or description.")]
Task = Annotated[str | None, Parameter(help="Only sets for pt, sft, dpo, kto, rm, grpo, seq-cls or multimodal.")]
Hub = Annotated[str | None, Parameter(help="Only sets that are on huggingface or modelscope, or shipped.")]
Source = Annotated[
    str,
    Parameter(
        help="A name, a hub id, or a file or folder of rows (json, jsonl, csv, tsv, parquet, txt): id[:subset][#N]."
    ),
]
Strict = Annotated[bool, Parameter(help="Stop at the first row that cannot be read.")]
List = Annotated[Path, Parameter(help="Where rows that cannot be read are listed.", metavar="PATH")]
First = Annotated[int, Parameter(help="The first row to show, from 1.")]
Count = Annotated[int, Parameter(help="How many rows to show.")]
Target = Annotated[Path, Parameter(help="A new .jsonl file.")]
Model = Annotated[str | None, Parameter(help="A model, by name, hub id or folder: count and show its tokens.")]
Learn = Annotated[Literal["all", "last"], Parameter(help="Which answers of a conversation training learns.")]
SHOWN = 5


def list_datasets(*words: Words, task: Task = None, hub: Hub = None) -> int:
    """List the data sets that are known by name. Behind a colon stands a subset, as in c4:en."""
    from chunfen.data.catalog import TASKS, known

    if task is not None and task not in TASKS:
        raise SettingError(f"task {task!r} is not known.{did_you_mean(task, TASKS)} Known: {', '.join(TASKS)}.")
    rows = []
    for spec in known():
        text = " ".join((spec.name, *spec.aliases, *spec.ids.values(), *spec.languages, spec.about)).lower()
        if all(word.lower() in text for word in words) and task in (None, spec.task) and (not hub or hub in spec.hubs):
            size = f"{spec.size:,}" if spec.size else ""
            rows.append((spec.name, spec.task, size, " ".join(spec.languages), " ".join(spec.hubs), spec.licence))
    print(table(("name", "task", "rows", "languages", "hubs", "licence"), rows))
    return 0


def check(source: Source, *, model: Model = None, strict: Strict = False, rejected_rows: List = REJECTED) -> int:
    """Say what a data set holds, and which rows cannot be read.

    Rows that cannot be read are listed with file, line and reason. Lengths are in characters, or in the tokens of a
    model.
    """
    rows = _read(source, strict, rejected_rows)
    if model is None:
        unit, found = "characters", summary(rows)
    else:
        from chunfen.data.encode import encode_row
        from chunfen.models.loading import load_tokenizer

        tokenizer = load_tokenizer(model)
        unit, found = "tokens", summary(rows, lambda row: len(encode_row(row, tokenizer, learn="last").ids))
    facts = [("rows", found.rows), *((f"of these {kind}", count) for kind, count in found.kinds.items())]
    facts += [("there before (duplicates)", found.duplicates)]
    facts += [(f"with another column {name!r}", count) for name, count in found.columns.items()]
    print(table(("", "count"), facts))
    header = ("in a row", "least", "25 %", "median", "75 %", "95 %", "most")
    spread = [(name, *values) for name, values in (("messages", found.turns), (unit, found.lengths)) if values]
    print("\n" + table(header, spread))
    for note in found.notes:
        print("\n" + note)
    return 0


def show(
    source: Source,
    *,
    row: First = 1,
    count: Count = 3,
    model: Model = None,
    learn: Learn = "all",
    strict: Strict = False,
) -> int:
    """Show rows as the conversations they are read as.

    With a model: as its template writes them. What training learns stands in green between ⟦ and ⟧.
    """
    if row < 1 or count < 1:
        raise SettingError(f"row {row}, count {count}: both have to be 1 or more.")
    read = _good(source, strict)
    last = sum(1 for _ in islice(read, row - 1)) if row > 1 else 0
    chosen = list(enumerate(islice(read, count), row))
    if not chosen:
        raise DataError(f"{source}: there is no row {row}; the last one that can be read is row {last}.")
    if model is None:
        print("\n\n".join(_shown(number, one) for number, one in chosen))
        return 0
    from rich.console import Console

    from chunfen.data.encode import encode_row
    from chunfen.models.loading import load_tokenizer

    tokenizer, console = load_tokenizer(model), Console(highlight=False, soft_wrap=True)
    for number, one in chosen:
        tokens = encode_row(one, tokenizer, learn=learn)
        console.print(
            f"row {number}: {len(tokens.ids)} tokens, {sum(tokens.learned)} learned", style="bold", markup=False
        )
        console.print(_coloured(tokens, lambda ids: str(tokenizer.decode(ids))), end="\n\n")
    return 0


def convert(source: Source, target: Target, *, strict: Strict = False, rejected_rows: List = REJECTED) -> int:
    """Write the rows of any known format in the standard one: JSON lines with messages.

    What is there already is not overwritten. Columns that no format knows are kept.
    """
    if target.exists():
        raise DataError(f"{target} is there already. Remove it or choose another name.")
    rows = _read(source, strict, rejected_rows)
    write_text(target, "".join(json.dumps(row.as_dict(), ensure_ascii=False) + "\n" for row in rows))
    print(f"{target}: {len(rows)} rows")
    return 0


def _read(source: str, strict: bool, listed: Path) -> Sequence[Row]:
    from chunfen.data.source import load_datasets
    from chunfen.settings.data import DataSettings

    # no name for the model is at hand here, so the places for one stay as they are
    settings = DataSettings(strict=strict, model_name="{{NAME}}", model_author="{{AUTHOR}}")
    found = load_datasets((source,), settings)
    if found.rejected:
        write_rejected(listed, found.rejected)
        print(_refused(found.rejected, listed) + "\n")
    return found.rows


def _good(source: str, strict: bool) -> Iterator[Row]:
    """The rows that can be read, as far as they are asked for."""
    from chunfen.data.row import Row
    from chunfen.data.source import open_source

    for found in open_source(source).each():
        if isinstance(found, Row):
            yield found
        elif strict:
            raise DataError(str(found))


def _refused(rejected: Sequence[Rejected], listed: Path) -> str:
    lines = [f"{len(rejected)} rows cannot be read; {listed} lists them all. The first ones:"]
    lines += [f"  {row}" for row in rejected[:SHOWN]]
    return "\n".join(lines)


def _shown(number: int, row: Row) -> str:
    lines = [f"row {number}: {row.kind}"]
    if row.text:
        lines.append(row.text)
    for message in row.messages:
        calls = [f"calls {c['name']}({json.dumps(c['arguments'], ensure_ascii=False)})" for c in message.tool_calls]
        lines.append(f"{message.role}> {' '.join([message.content, *calls]).strip()}")
    if row.rejected:
        lines += [f"rejected> {message.content}" for message in row.rejected[len(row.prompt) :]]
    others = row.as_dict()
    for name in ("messages", "rejected_messages", "text"):
        others.pop(name, None)
    lines += [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in others.items()]
    return "\n".join(lines)


def _coloured(tokens: Tokens, decode: Callable[[list[int]], str]) -> Text:
    """What is learned in green and brackets, the rest dim."""
    from rich.text import Text

    found = Text()
    for is_learned, group in groupby(zip(tokens.ids, tokens.learned, strict=True), key=lambda pair: pair[1]):
        text = decode([token for token, _ in group])
        found.append(f"⟦{text}⟧" if is_learned else text, style="green" if is_learned else "dim")
    return found
