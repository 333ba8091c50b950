"""The command `swift`: the verbs of chunfen, by their names of today or older ones."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from chunfen.cli.main import EXIT_USAGE, VERBS
from chunfen.cli.main import main as chunfen
from chunfen.settings.aliases import current_verb


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (by default this process's) as chunfen does, and return its exit code.

    A verb of the public tool that chunfen does not have is one line and exit code 2.
    """
    words = [_flag(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    verb = current_verb(words[0]) if words else None
    if verb is None:
        return chunfen(words)
    if verb not in VERBS:
        sys.stderr.write(f"swift: this version of chunfen has no {words[0]} yet. It has: {', '.join(VERBS)}.\n")
        return EXIT_USAGE
    return chunfen([verb, *words[1:]])


def _flag(word: str) -> str:
    r"""A flag without spaces around it: a shell reads them in lines that were joined, `swift sft \ --model_type …`."""
    return word.strip() if word.lstrip().startswith("--") else word


if __name__ == "__main__":
    sys.exit(main())
