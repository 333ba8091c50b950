"""chunfen: find a language model's social bias, repair it, and prove the repair."""

__version__ = "0.1.0"
