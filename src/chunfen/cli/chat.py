"""A conversation with a model in the terminal; replies appear word by word."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from chunfen.cli.messages import message
from chunfen.models.loading import LoadedModel, load_model
from chunfen.settings.commands import InferCommand
from chunfen.settings.model import ModelSettings


@dataclass
class Chat:
    """A model and the turns so far."""

    loaded: LoadedModel
    settings: InferCommand
    turns: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def load(cls, settings: InferCommand) -> Chat:
        """Load the model that the settings name, and seed the sampling."""
        from transformers import set_seed

        set_seed(settings.seed)
        chosen = {name: getattr(settings, name) for name in ModelSettings.model_fields}
        return cls(load_model(**chosen), settings)

    def ask(self, text: str) -> str:
        """Print the reply to one more turn as it comes, and return it."""
        import torch
        from transformers import TextStreamer

        self.turns.append(("user", text))
        loaded, tokenizer = self.loaded, self.loaded.tokenizer
        ids = torch.tensor([self._fitting()], device=loaded.device)
        streamer = TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        with torch.inference_mode():
            output = loaded.model.generate(  # type: ignore[operator]
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=self.settings.max_new_tokens,
                repetition_penalty=self.settings.repetition_penalty,
                pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
                streamer=streamer,
                **self._sampling(),
            )
        reply = str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)).strip()
        self.turns.append(("assistant", reply))
        return reply

    def _sampling(self) -> dict[str, Any]:
        """Arguments of `generate`; the model's own sampling defaults are set aside."""
        if self.settings.temperature == 0:
            return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        names = ("temperature", "top_p", "top_k")
        return {"do_sample": True} | {name: getattr(self.settings, name) for name in names}

    def _fitting(self) -> list[int]:
        """Token ids of the conversation; its oldest turns are dropped where the context would not hold it."""
        longest = getattr(self.loaded.model.config, "max_position_embeddings", None)
        ids = self.loaded.chat_ids(self.turns)
        while longest and len(ids) + self.settings.max_new_tokens > longest and len(self.turns) > 2:
            del self.turns[:2]
            ids = self.loaded.chat_ids(self.turns)
        return ids


def converse(chat: Chat, lang: str) -> None:
    """Read turns until the input ends. Without a terminal every line of the input is a turn."""
    prompt = message("chat.you", lang) if sys.stdin.isatty() else ""
    if prompt:
        print(message("chat.hint", lang, model=chat.loaded.spec.name))
    while True:
        try:
            text = input(prompt).strip()
        except EOFError:
            return
        if text == "/exit":
            return
        if text == "/clear":
            chat.turns.clear()
            print(message("chat.cleared", lang))
        elif text:
            chat.ask(text)
