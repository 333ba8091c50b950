"""chunfen by the name that scripts of the public tool use: the command `swift`, `from swift import DatasetHub`."""

from chunfen.data.dataset_hub import DatasetHub

__all__ = ["DatasetHub"]
