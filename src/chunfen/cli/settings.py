"""chunfen settings"""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter

from chunfen.errors import SettingError, did_you_mean
from chunfen.settings.commands import COMMANDS

VerbName = Annotated[str | None, Parameter(help="A verb; none: all of them.", metavar="VERB")]


def settings(verb: VerbName = None) -> int:
    """Print the options of a verb as JSON Schema, for editors and forms."""
    if verb is not None and verb not in COMMANDS:
        hint = did_you_mean(verb, COMMANDS)
        raise SettingError(f"{verb!r} has no settings.{hint} Verbs with settings: {', '.join(COMMANDS)}.")
    schemas = {name: cls.model_json_schema() for name, cls in COMMANDS.items()}
    print(json.dumps(schemas if verb is None else schemas[verb], indent=2, ensure_ascii=False))
    return 0
