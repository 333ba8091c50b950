"""From adapters to a mixture of experts: read, upcycle, place and train the router, measure, write, check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from chunfen.data.encode import Tokens
from chunfen.data.load import REJECTED, Rejected, write_rejected
from chunfen.errors import SettingError
from chunfen.export.adapters import Adapter, check_base
from chunfen.export.base import Base, load_base
from chunfen.export.check import check_ids, compare, logits_of, tolerance
from chunfen.export.combine import names_of, side_by_side
from chunfen.export.folder import check_output, check_shard_size, new_folder, save_model, write_record
from chunfen.export.merge import Merged, check_written, described, read_adapters
from chunfen.export.moe.architectures import moe_config
from chunfen.export.moe.data import ExpertRows, read_sets
from chunfen.export.moe.experts import build_moe, check_layers, moe_weights, share_attention
from chunfen.export.moe.router import directions, mean_states, place, train
from chunfen.export.moe.routing import expert_shares, loss_of, only_expert
from chunfen.settings.merge import MergeCommand

if TYPE_CHECKING:
    from peft import PeftModel

PLACING = 64
"""Rows of each set that the router is placed by."""


@dataclass(frozen=True, slots=True)
class Upcycled:
    """model: the mixture. router: where its routers start [layers, experts, hidden]; None: anywhere. losses: of the
    dense model without and with each adapter, for each set of rows. difference: of an expert's logits, the greatest.
    """

    model: Any
    router: Tensor | None
    losses: list[dict[str, float]]
    difference: float


def merge_to_moe(settings: MergeCommand) -> Merged:
    """Write a mixture with one expert per adapter, and its merge.json.

    Raises SettingError for what cannot be made a mixture, ChunfenError where a token that is sent to one expert does
    not get the logits of the dense model with that adapter.
    """
    folder, adapters = check_output(settings.output), read_adapters(settings)
    check_shard_size(settings.max_shard_size)
    _check_settings(settings, len(adapters))
    model, base, record, rejected = _make(settings, adapters)
    ids = check_ids(base.tokenizer, model.config.vocab_size)
    model = _rounded(model, base)
    wanted = logits_of(model, ids)
    with new_folder(folder) as part:
        save_model(model, base, part, settings)
        del model  # the written one takes its place in memory
        record["check"] = check_written(part, base, settings, ids, wanted)
        if rejected:
            write_rejected(part / REJECTED, rejected)
        write_record(part, record)
    return Merged(folder, record)


def _make(settings: MergeCommand, adapters: Sequence[Adapter]) -> tuple[Any, Base, dict[str, Any], list[Rejected]]:
    """The trained mixture, its base, what its merge.json holds but for the last check, and rows that cannot be read."""
    dense, base = load_base(settings)
    for adapter in adapters:
        check_base(adapter, base.spec, base.path)
    config = moe_config(dense.config, len(adapters), settings.num_experts_per_tok)
    sets = read_sets(
        settings.router_data,
        base.tokenizer,
        training=max(settings.router_steps, PLACING),
        held=settings.router_eval_rows,
        max_length=settings.router_max_length,
        seed=settings.seed,
    )
    made = _upcycle(dense, base, adapters, config, sets, settings.moe_attention)
    place(made.model, made.router, settings.seed)
    record = {
        **described(settings, base, adapters),
        "architecture": type(made.model).__name__,
        "num_experts_per_tok": settings.num_experts_per_tok,
        "attention": settings.moe_attention,
        "seed": settings.seed,
        "greatest_difference_of_an_expert": made.difference,
    }
    if sets:
        record["router"] = {"experts": len(adapters), "data": _train(made, sets, settings)}
    return made.model, base, record, [row for rows in sets for row in rows.rejected]


def _rounded(model: Any, base: Base) -> Any:
    """The model with the weights that will be written, so that the check asks the very router that is in the folder.

    The least rounding of a router can send a token elsewhere, which changes its logits by more than rounding would.
    """
    import torch

    return model.to(getattr(torch, base.written)).to(getattr(torch, base.computed))


def _check_settings(settings: MergeCommand, adapters: int) -> None:
    """What can be known to be wrong before a model is loaded."""
    if adapters < 2:
        raise SettingError("to_moe: a mixture needs at least two adapters; without --to_moe one is merged.")
    if settings.merge_method != "sequential" or settings.weights or settings.density is not None:
        raise SettingError("to_moe: merge_method, weights and density have no part in it; every adapter is an expert.")
    if settings.num_experts_per_tok > adapters:
        raise SettingError(f"num_experts_per_tok {settings.num_experts_per_tok}: there are {adapters} experts.")
    if settings.router_data and len(settings.router_data) != adapters:
        given = len(settings.router_data)
        raise SettingError(f"router_data: {given} data sets are given for {adapters} adapters; give one for each.")


def _upcycle(
    dense: Any, base: Base, adapters: Sequence[Adapter], config: Any, sets: Sequence[ExpertRows], attention: str
) -> Upcycled:
    """The mixture, after what the dense model has to say."""
    import torch

    wrapped = side_by_side(dense, adapters)
    check_layers(wrapped, adapters)
    losses = [_dense_losses(wrapped, rows.held, adapters) for rows in sets]
    router = None
    if sets:
        with wrapped.disable_adapter():
            router = directions(torch.stack([mean_states(dense, rows.training[:PLACING]) for rows in sets]))
    share_attention(wrapped, len(adapters), attention)
    moe = build_moe(config, moe_weights(wrapped, config, len(adapters))).to(dense.device)
    moe.generation_config = dense.generation_config
    ids, difference = check_ids(base.tokenizer, config.vocab_size), 0.0
    for expert, name in enumerate(names_of(adapters)):
        wrapped.set_adapter(name)
        with only_expert(moe, expert):
            found = compare(logits_of(wrapped, ids), logits_of(moe, ids), tolerance(base.computed, base.computed), name)
        difference = max(difference, found)
    return Upcycled(moe, router, losses, difference)


def _dense_losses(wrapped: PeftModel, rows: Sequence[Tokens], adapters: Sequence[Adapter]) -> dict[str, float]:
    """Loss of the dense model: "base", and "expert 0", "expert 1" … with each adapter."""
    with wrapped.disable_adapter():
        losses = {"base": loss_of(wrapped, rows)}
    for expert, name in enumerate(names_of(adapters)):
        wrapped.set_adapter(name)
        losses[f"expert {expert}"] = loss_of(wrapped, rows)
    return losses


def _train(made: Upcycled, sets: Sequence[ExpertRows], settings: MergeCommand) -> list[dict[str, Any]]:
    """Train the router, and describe for each set how it routes and what it loses, before and after."""
    model = made.model
    before = [(expert_shares(model, rows.held), loss_of(model, rows.held)) for rows in sets]
    train(
        model,
        [rows.training for rows in sets],
        steps=settings.router_steps,
        learning_rate=settings.router_learning_rate,
        aux_loss_coef=settings.router_aux_loss_coef,
    )
    after = [(expert_shares(model, rows.held), loss_of(model, rows.held)) for rows in sets]
    return [
        {
            "name": rows.name,
            "rows": {"training": len(rows.training), "held": len(rows.held), "rejected": len(rows.rejected)},
            "share": {"before": old[0], "after": new[0]},
            "loss": {**losses, "mixture before": old[1], "mixture after": new[1]},
        }
        for rows, losses, old, new in zip(sets, made.losses, before, after, strict=True)
    ]
