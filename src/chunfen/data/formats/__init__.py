"""From the rows that people have to the standard row.

`to_row` is the way in. A further format is a further reader in `readers.FORMATS`.
"""

from chunfen.data.formats.fields import RowError
from chunfen.data.formats.readers import to_row

__all__ = ["RowError", "to_row"]
