"""What a training would do, for --dry_run: rows, tokens, steps and memory; nothing is fetched and nothing computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunfen.data.catalog import find
from chunfen.data.files import kind_of_file
from chunfen.data.formats import RowError
from chunfen.data.reference import parse_dataset
from chunfen.data.row import Message, Row
from chunfen.data.source import HUB_ID, load_datasets
from chunfen.errors import DataError, SettingError
from chunfen.models.shapes import already_here, build, config_of
from chunfen.train.stages import STAGES

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from chunfen.train.encode import Encoder
    from chunfen.train.example import Example
    from chunfen.train.memory import MemoryPlan
    from chunfen.train.stage import Stage

SAMPLE = 1000
"""Rows that are made into tokens; how long the others are follows from their characters."""
MANY = 1_000_000
"""Of more rows that are not here steps are not counted: it takes a list of all."""
UNKNOWN = 1024
"""Tokens of a row that nobody knows."""
MARKUP = 5
"""Tokens that a template puts around a message, about."""
UNPLANNED = {"boft": "PEFT looks at numbers when it begins", "llamapro": "it looks at numbers when it begins"}
"""Tuners that cannot be put on a model without numbers."""


@dataclass(frozen=True, slots=True)
class Size:
    """Tokens of an example: of its longest text, of all of them, and how many of them are read."""

    longest: int
    tokens: int
    reads: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """What is known about the examples. lines: the same in words. known: whether it is known how many there are."""

    sizes: Sequence[Size]
    lines: Sequence[str]
    known: bool = True


def training_plan(name: str, settings: Any) -> Iterator[str]:
    """Lines of text. name: of the stage; settings: those of its command.

    Raises SettingError and DataError for what the training itself would refuse; data that is not here is no such thing.
    """
    from chunfen.train.perform import schedule

    if name not in STAGES:
        yield "steps and memory: not planned where a model learns from its own answers"
        return
    stage = STAGES[name](settings)
    try:
        config = config_of(settings.model, hub=settings.hub, revision=settings.revision)
    except SettingError as error:
        yield f"memory: {error}"
        return
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    lengths = _lengths(stage, settings, context)
    yield from lengths.lines
    plan = schedule(settings, [size.tokens for size in lengths.sizes], context)
    if lengths.known or settings.max_steps:
        rounds = f", {plan.rounds:.3g} times through the examples" if lengths.known else ""
        yield f"steps: {plan.steps:,}, of {plan.per_step} batches each{rounds}"
    if settings.tuner_type in UNPLANNED:
        yield f"memory: not planned for tuner_type {settings.tuner_type}: {UNPLANNED[settings.tuner_type]}"
        return
    largest = max(plan.batches, key=lambda batch: sum(lengths.sizes[k].tokens for k in batch))
    yield from _memory(config, settings, stage, [lengths.sizes[k] for k in largest])


def needs_hub(dataset: str) -> bool:
    """Whether a data set would have to be fetched.

    >>> needs_hub("alpaca-en#500"), needs_hub("instructions-en"), needs_hub("HF::org/name")
    (True, False, True)
    """
    ref = parse_dataset(dataset)
    known = find(ref.name)
    if known:
        return bool(known.ids)
    is_path = kind_of_file(ref.name) or Path(ref.name).expanduser().exists()
    return bool(ref.hub) or (bool(HUB_ID.fullmatch(ref.name)) and not is_path)


def _lengths(stage: Stage, settings: Any, context: int | None) -> Lengths:
    named = ", ".join(settings.dataset)
    size = min(settings.max_length or UNKNOWN, context or UNKNOWN)
    unread = [Size(size, size, size)]
    if not settings.dataset:
        return Lengths(unread, ["data: none is given (--dataset)"], known=False)
    if settings.streaming:
        return Lengths(unread, [f"data: {named}, read while training goes on"], known=False)
    if any(map(needs_hub, settings.dataset)):
        counts = [_rows_by_the_catalog(text) for text in settings.dataset]
        number = f" {sum(counts):,} rows by the catalog." if all(counts) else ""
        line = f"data: {named}: not here yet, so the length of rows is not known; {size:,} tokens are assumed.{number}"
        known = all(counts) and sum(counts) <= MANY
        return Lengths(unread * (sum(counts) if known else 1), [line], known)
    loaded = load_datasets(settings.dataset, settings)
    rows = stage.prepare([row for row in loaded.rows if row.kind in stage.kinds])
    if not rows:
        raise DataError(f"dataset {named}: no row can be used; this stage takes: {', '.join(stage.kinds)}.")
    sizes, refused, remark = sizes_of(rows, stage, _encoder(settings), settings.max_length or context)
    tokens, longest = sum(size.tokens for size in sizes), max(size.longest for size in sizes)
    lines = [f"data: {named}: {len(sizes):,} examples, {tokens:,} tokens, {longest:,} in the longest text ({remark})"]
    left_out = refused + len(loaded.rejected) + len(loaded.rows) - len(rows)
    return Lengths(
        sizes, [*lines, *([f"left out: {left_out:,} rows; chunfen data check says why"] if left_out else [])]
    )


def _rows_by_the_catalog(dataset: str) -> int:
    ref = parse_dataset(dataset)
    known = find(ref.name)
    return ref.rows or (known.size if known else 0)


def _encoder(settings: Any) -> Encoder | None:
    from chunfen.train.load import training_encoder

    here = already_here(settings.model, hub=settings.hub, revision=settings.revision)
    return training_encoder(settings) if here else None


def sizes_of(
    rows: Sequence[Row], stage: Stage, encoder: Encoder | None, most: int | None
) -> tuple[list[Size], int, str]:
    """Tokens of rows, how many rows are of no use, and how far that is known.

    Counted, if necessary of a sample; without an encoder estimated from characters. most: tokens a text may have.
    """
    estimates = [_estimate(row, stage, most) for row in rows]
    if encoder is None:
        return estimates, 0, "estimated from characters: the tokenizer is not here"
    chosen = range(0, len(rows), -(-len(rows) // SAMPLE))
    counted: list[Size] = []
    refused = 0
    for number in chosen:
        try:
            examples = stage.encode(rows[number], encoder)
        except (RowError, DataError):
            refused += 1
            continue
        counted += [_counted(example) for example in examples]
    if not counted:
        raise DataError("dataset: no row can be used; chunfen data check says why.")
    if len(chosen) == len(rows):
        return counted, refused, "counted"
    ratio = sum(size.tokens for size in counted) / sum(estimates[number].tokens for number in chosen)
    scaled = [Size(*(round(ratio * n) for n in (size.longest, size.tokens, size.reads))) for size in estimates]
    return scaled, refused * len(rows) // len(chosen), f"estimated from {len(chosen):,} rows"


def _counted(example: Example) -> Size:
    lengths = [len(text.ids) for text in example.texts]
    return Size(max(lengths), sum(lengths), sum(len(text.reads) for text in example.texts))


def _estimate(row: Row, stage: Stage, most: int | None) -> Size:
    conversations = [row.messages]
    if row.rejected and "conversation" not in stage.kinds:  # of pairs, fine-tuning learns the better one alone
        conversations.append(row.rejected)
    texts = [_guess(row.text, turns) for turns in conversations]
    answers = [_guess(row.text, turns[-1:]) for turns in conversations]
    fitting = [min(size, most or size) for size in texts]
    return Size(max(fitting), sum(fitting), min(sum(fitting), sum(answers)))


def _guess(text: str, messages: Sequence[Message]) -> int:
    """Tokens of a text: one for about four letters, or for two Chinese characters."""
    said = text + "".join(message.content for message in messages)
    narrow = sum(character.isascii() for character in said)
    return -(-narrow // 4) + -(-(len(said) - narrow) * 6 // 10) + MARKUP * len(messages)


def _memory(config: PreTrainedConfig, settings: Any, stage: Stage, batch: Sequence[Size]) -> Iterator[str]:
    """What the largest batch takes. batch: its examples, whose texts are put side by side in rows."""
    length, tokens, reads = max(s.longest for s in batch), sum(s.tokens for s in batch), sum(s.reads for s in batch)
    rows = -(-tokens // length)
    yield f"memory of the largest batch: {rows} x {length:,} tokens, {reads:,} of them read"
    yield from (f"  {line}" for line in memory_of(config, settings, stage, rows, length, reads).text())


def memory_of(config: PreTrainedConfig, settings: Any, stage: Stage, rows: int, length: int, reads: int) -> MemoryPlan:
    """What a step takes with these settings. rows, length, reads: of its largest batch, in tokens."""
    import torch

    from chunfen.models.loading import pick_device
    from chunfen.train.load import compute_dtype, training_attention, training_dtype
    from chunfen.train.memory import memory_plan
    from chunfen.tuners import TUNERS

    kind, compute = TUNERS[settings.tuner_type], compute_dtype(settings)
    dtype = torch.float32 if kind.whole else getattr(torch, training_dtype(settings.torch_dtype, settings.device))
    attention = training_attention(settings.attn_impl, settings.device)
    outputs = {"lm": None, "score": 1}.get(stage.head, max(2, len(stage.classes)))
    fresh = settings.model_copy(update={"init_weights": "default"})  # others need numbers; the sizes are the same
    with torch.device("meta"):
        model = build(config, dtype, attn_impl="sdpa" if attention == "auto" else attention, outputs=outputs)
        tuned = kind(model, fresh).model
    return memory_plan(
        tuned,
        rows=rows,
        length=length,
        reads=reads,
        compute=compute,
        optim=settings.optim,
        quant_bits=settings.quant_bits,
        checkpointing=settings.gradient_checkpointing,
        tuner=settings,
        device=pick_device(settings.device).type,
    )
