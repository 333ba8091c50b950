"""chunfen merge"""

from __future__ import annotations

from typing import Any

from chunfen.cli.table import table
from chunfen.cli.verb import EXIT_OK, verb
from chunfen.settings.merge import MergeCommand


@verb(MergeCommand)
def merge(settings: MergeCommand) -> int:
    """Merge adapters into a model that stands alone, or make a mixture of experts of them (--to_moe).

    The new model is read back and compared with the old one with its adapters on before it gets its name.
    """
    if settings.to_moe:
        from chunfen.export.moe.build import merge_to_moe as perform
    else:
        from chunfen.export.merge import merge as perform

    made = perform(settings)
    print(summary(made.record))
    print(made.folder)
    return EXIT_OK


def summary(record: dict[str, Any]) -> str:
    """What was checked; for a mixture of experts, how it routes and what it loses."""
    check = record["check"]
    lines = [
        f"Greatest difference of a logit: {check['greatest_difference']:.2g}, of logits up to "
        f"{check['greatest_logit']:.3g} ({record['dtype']}, {check['texts']} texts)."
    ]
    if "greatest_change" in check:
        lines.append(f"The adapters change logits by up to {check['greatest_change']:.2g}.")
    if "router" in record:
        lines += ["", _routing(record["router"]), "", _losses(record["router"])]
    return "\n".join(lines)


def _routing(router: dict[str, Any]) -> str:
    experts = [f"expert {number}" for number in range(router["experts"])]
    rows = [
        (data["name"], when, *(f"{share:.0%}" for share in data["share"][when]))
        for data in router["data"]
        for when in ("before", "after")
    ]
    return "Tokens whose first choice is each expert, before and after the router's training:\n" + table(
        ("data", "", *experts), rows
    )


def _losses(router: dict[str, Any]) -> str:
    names = list(router["data"][0]["loss"])
    rows = [(data["name"], *(f"{data['loss'][name]:.3f}" for name in names)) for data in router["data"]]
    return "Loss on rows that were kept back, in nats per token:\n" + table(("data", *names), rows)
