"""chunfen: find a language model's social bias, repair it, and prove the repair."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

STAGES = ("pt", "sft", "dpo", "simpo", "cpo", "orpo", "kto", "rm", "grpo", "rloo")
_EXPORTS = {
    "DatasetHub": "chunfen.data.dataset_hub:DatasetHub",
    "audit": "chunfen.api:audit",
    "balance": "chunfen.api:balance",
    "load_model": "chunfen.models.loading:load_model",
    "repair": "chunfen.api:repair",
    **{stage: f"chunfen.api:{stage}" for stage in STAGES},
}
__all__ = ["DatasetHub", "audit", "balance", "load_model", "repair", *STAGES]


def __getattr__(name: str) -> Any:
    """The public functions, imported when they are first asked for: `import chunfen` itself costs nothing."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _EXPORTS[name].partition(":")
    globals()[name] = found = getattr(import_module(module), attribute)
    return found
