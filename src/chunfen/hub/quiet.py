"""The one place where the chatter of the libraries is turned down."""

from __future__ import annotations

import functools
import logging
import warnings


@functools.cache
def quiet() -> None:
    """Keep progress bars and advice of transformers off the screen; its errors still show."""
    from transformers.utils import logging as theirs

    theirs.set_verbosity_error()  # type: ignore[no-untyped-call]
    theirs.disable_progress_bar()  # type: ignore[no-untyped-call]
    # A kernel from a hub that it would like to have; it computes without it.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # PEFT still calls something by its older name.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
    # Raised inside torch for every model on a machine without a GPU; there is nothing that a user could do.
    warnings.filterwarnings("ignore", message=".*pin_memory.*no accelerator.*", category=UserWarning)
