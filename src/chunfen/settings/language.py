"""In which language to speak."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "zh"]


def language(wish: str = "auto", environment: Mapping[str, str] | None = None) -> Language:
    """The language of messages and reports.

    auto: from the locale, in the order that POSIX gives its variables (LC_ALL, LC_MESSAGES, LANG).

    >>> language("zh"), language("auto", {"LANG": "zh_CN.UTF-8"}), language("auto", {"LC_ALL": "C"})
    ('zh', 'zh', 'en')
    """
    if wish == "auto":
        known = os.environ if environment is None else environment
        wish = next((known[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if known.get(name)), "en")
    return "zh" if wish.lower().startswith("zh") else "en"
