"""The one way in which commands and groups of commands look and parse."""

from __future__ import annotations

from collections.abc import Mapping

from cyclopts import App, Parameter


def new_app(name: str, about: str, commands: Mapping[str, tuple[str, str]], version: str | None = None) -> App:
    """A group of commands: name → (its help in one line, "module:attribute"), imported when it is used.

    Options are written with underscores; cyclopts takes hyphens as well.
    """
    plain = Parameter(name_transform=lambda name: name, negative_iterable=())
    app = App(name=name, help=about, version=version, default_parameter=plain, help_format="plaintext")
    for place, (command, (line, where)) in enumerate(commands.items()):
        app.command(where, name=command, help=line, sort_key=place)
    return app
