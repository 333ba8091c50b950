"""From standard rows to examples: tokens by the model's own template, cut to length as the user wishes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from chunfen.data.encode import Learn, encode_row
from chunfen.data.formats import RowError
from chunfen.data.row import Row
from chunfen.train.example import Text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Truncation = Literal["delete", "left", "right", "split"]
"""What happens to a text that is too long: the row is left out, or its beginning, or its end; or it becomes several."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """How rows become texts. learn: which answers of a conversation. max_length: in tokens; None: any.
    max_images: of a row; None: any number."""

    tokenizer: PreTrainedTokenizerBase
    system: str | None = None
    learn: Learn = "all"
    max_length: int | None = None
    truncation: Truncation = "delete"
    max_images: int | None = None

    def texts(self, row: Row) -> list[Text]:
        """The text of a row, or the parts that it is split into. Raises RowError where nothing is left to learn."""
        whole = self._encoded(row, self.learn)
        size = self.max_length or len(whole.ids)
        if len(whole.ids) <= size:
            return [_learnable(whole)]
        if self.truncation == "split":
            parts = [cut(whole, begin, begin + size) for begin in range(0, len(whole.ids), size)]
            found = [part for part in parts if part.reads]
            return found or [_learnable(whole)]
        self._refuse_if_deleting(len(whole.ids))
        begin = len(whole.ids) - size if self.truncation == "left" else 0
        return [_learnable(cut(whole, begin, begin + size))]

    def pair(self, row: Row) -> tuple[Text, Text]:
        """The chosen and the rejected conversation of a row, of which the last answers are learned.

        What is cut from the left is cut from both, so that they still answer the same prompt.
        """
        chosen, rejected = self._encoded(row, "last"), self._encoded(replace(row, messages=row.rejected), "last")
        longest = max(len(chosen.ids), len(rejected.ids))
        size = self.max_length or longest
        begin = 0
        if longest > size:
            self._refuse_if_deleting(longest)
            begin = longest - size if self.truncation == "left" else 0
            if begin >= min(chosen.reads[0], rejected.reads[0]):
                raise RowError(f"the answers alone have more than max_length {size} tokens")
        return tuple(_learnable(cut(text, begin, begin + size)) for text in (chosen, rejected))  # type: ignore[return-value]

    def whole(self, row: Row) -> Text:
        """A text or conversation that is judged as a whole; its last token is read."""
        self._refuse_media(row)
        tokens = encode_row(row, self.tokenizer, system=self.system, learn="last")
        size = self.max_length or len(tokens.ids)
        if len(tokens.ids) > size:
            self._refuse_if_deleting(len(tokens.ids))
        ids = tokens.ids[-size:] if self.truncation == "left" else tokens.ids[:size]
        return Text(ids, (len(ids) - 1,))

    def whole_pair(self, row: Row) -> tuple[Text, Text]:
        """The chosen and the rejected conversation of a row, judged as wholes."""
        return self.whole(row), self.whole(replace(row, messages=row.rejected))

    def _encoded(self, row: Row, learn: Learn) -> Text:
        self._refuse_media(row)
        tokens = encode_row(row, self.tokenizer, system=self.system, learn=learn)
        return Text(tokens.ids, tuple(place for place, learned in enumerate(tokens.learned) if learned and place))

    def _refuse_media(self, row: Row) -> None:
        """A model of text would take a picture's tag for words."""
        if self.max_images is not None and len(row.images) > self.max_images:
            raise RowError(f"{len(row.images)} images are more than max_images {self.max_images}")
        for name in ("images", "videos", "audios"):
            if getattr(row, name):
                raise RowError(f"it has {name}, and this model reads text alone")

    def _refuse_if_deleting(self, length: int) -> None:
        if self.truncation == "delete":
            raise RowError(f"{length} tokens are more than max_length {self.max_length}")


def cut(text: Text, begin: int, end: int) -> Text:
    """The part of a text from one place to another; what is read of it can no longer be its first token.

    >>> cut(Text((4, 5, 6, 7), (1, 3)), 1, 4)
    Text(ids=(5, 6, 7), reads=(2,))
    """
    return Text(text.ids[begin:end], tuple(place - begin for place in text.reads if begin < place < end))


def _learnable(text: Text) -> Text:
    if not text.reads:
        raise RowError("there is nothing to learn in it, or what there was has been cut off")
    return text
