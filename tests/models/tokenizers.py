"""Small real tokenizers of three kinds: byte-level BPE, SentencePiece-like BPE, and one in Python."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from chunfen.models.templates import _known

TEXTS = [
    "Who is there? A nice day, and a better one to come.\n\nThe nurse and the doctor said: hello!",
    "User: what is 2 + 2?\nAssistant: It is 4.\n### Instruction:\nBe brief.\n### Response:\nYes, I am.",
    "你好！今天天气很好。谁在那里？问：春分是什么时候？答：三月二十日。",
]
SPECIAL = sorted({token for entry in _known().values() for token in entry.get("tokens", ())})
"""Tokens that some template writes."""


def byte_level(special: Sequence[str] = SPECIAL) -> Any:
    """GPT-2's kind: every byte has a token, a word begins with its space."""
    return _dressed(_byte_level(), special)


def metaspace() -> Any:
    """Llama-2's kind: a word begins with ▁, the first one of a text too, and unknown characters become bytes."""
    return _dressed(_metaspace(), SPECIAL)


def in_python() -> Any:
    """A byte a token; it cannot say where its tokens stand in the text."""
    from transformers import ByT5Tokenizer

    return ByT5Tokenizer(extra_ids=0, bos_token="<s>", additional_special_tokens=SPECIAL)


@cache
def _byte_level() -> Any:
    from tokenizers import decoders, models, pre_tokenizers, trainers

    return _trained(
        models.BPE(),
        trainers.BpeTrainer(
            vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<s>", "</s>"]
        ),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )


@cache
def _metaspace() -> Any:
    from tokenizers import decoders, models, pre_tokenizers, trainers

    return _trained(
        models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True),
        trainers.BpeTrainer(
            vocab_size=600, special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        ),
        pre_tokenizers.Metaspace(prepend_scheme="first"),
        decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")]),
    )


def _trained(model: Any, trainer: Any, cut: Any, decoder: Any) -> Any:
    from tokenizers import Tokenizer

    found = Tokenizer(model)
    found.pre_tokenizer, found.decoder = cut, decoder
    found.train_from_iterator(TEXTS, trainer)
    return found


def _dressed(trained: Any, special: Sequence[str]) -> Any:
    """A new transformers tokenizer each time: tests change them."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=trained, bos_token="<s>", eos_token="</s>", additional_special_tokens=list(special)
    )
