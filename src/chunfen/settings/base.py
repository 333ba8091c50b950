"""How settings are made: frozen pydantic models, one topic a file; a verb inherits the topics that it uses.

The only place where an option is named, typed, defaulted and described. Command line, YAML files, JSON Schema
and the option tables of the documentation are derived from these classes.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of all settings: immutable, and no key passes unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)
