"""How much memory a step of training takes, found out without taking any.

The step is done with tensors that have a shape and no numbers. So what autograd keeps for the backward pass, and what
is alive at the worst moment, is counted in the step itself, whatever the architecture, the tuner and the number formats
are. What weights and optimizers hold follows from their numbers.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from chunfen.engines.transformers.logprobs import picked_logprobs
from chunfen.errors import SettingError
from chunfen.tuners.layers import decoder_layers, is_linear, layer_stack

BITS = {4: 4 + 8 / 64 + 32 / (64 * 256), 8: 8.0}
"""bitsandbytes' bits of a weight by quant_bits. 4: NF4 with a scale of 8 bits for 64 weights, and one of 32 for 256 of
those (Dettmers et al. 2023)."""

SMALL = 2**25
"""Pieces of more bytes glibc's malloc takes from the system one by one, and gives them back at once."""

FRAGMENTS = 0.5
"""Of what comes and goes in small pieces on a CPU, the share that lies in gaps too narrow to be used again: glibc finds
no place for an aligned piece where one of the same size was freed. `bench/memory.py` measures 0.2 to 0.9."""

FRAGMENTS_ON_GPU = 0.1
"""The same of all that comes and goes there, with PyTorch's own allocator."""

FEW = 2
"""So many layers tell what each takes, where all are alike."""

STATES = {"sgd": 0, "lion": 4, "adagrad": 4, "rmsprop": 4, "ademamix": 12}
"""Bytes of state for a weight, by the beginning of the optimizer's name; of all others, which are Adams, 8. adafactor
has a mean for each row and each column instead (Shazeer and Stern 2018)."""

NARROW = {"8bit": 4, "4bit": 8}
"""How much smaller the states of optimizers are whose names end so."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes at the worst moment of a step.

    overhead: what is computed on the way, and fragments, which is what the allocator wastes. count, trainable: numbers
    of weights.
    """

    count: int
    trainable: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    overhead: int
    fragments: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.overhead

    def text(self) -> Iterator[str]:
        """A line for each part.

        >>> plan = MemoryPlan(7_721_000_000, 134_000_000, 2**34, 2**29, 2**30, 2**30, 2**28, 2**29, 0)
        >>> print("\\n".join(plan.text()))
        weights       16.00 GiB   7,721 M, of which 134 M are trained (1.74%)
        gradients      0.50 GiB
        optimizer      1.00 GiB
        activations    1.00 GiB
        logits         0.25 GiB
        overhead       0.50 GiB
        total         19.25 GiB
        """
        share = self.trainable / self.count
        numbers = f"{self.count / 1e6:,.0f} M, of which {self.trainable / 1e6:,.4g} M are trained ({share:.2%})"
        for name in ("weights", "gradients", "optimizer", "activations", "logits", "overhead", "total"):
            line = f"{name:<11} {getattr(self, name) / 2**30:7.2f} GiB"
            yield f"{line}   {numbers}" if name == "weights" else line


def memory_plan(
    model: Any,
    *,
    rows: int,
    length: int,
    reads: int | None = None,
    compute: torch.dtype = torch.float32,
    optim: str = "adamw_torch",
    quant_bits: int | None = None,
    checkpointing: bool = False,
    tuner: Any = None,
    device: str = "cpu",
) -> MemoryPlan:
    """What a step takes that computes a batch while the gradients of earlier batches are kept.

    model: on the meta device, with its trainable part; it is used up. rows, length: of a batch, in tokens. reads:
    positions at which logits are computed; None: all of them, as a plain transformers step does. compute: number format
    of matrix products. optim: the optimizer, by transformers' name. quant_bits: of the frozen linear layers. tuner:
    settings of a tuner of which a step holds less than its weights let expect (see `SPARING`). device: cpu or cuda.
    """
    quantized = _quantized(model) if quant_bits else {}
    weights = sum(_size(w) for w in (*model.parameters(), *model.buffers()) if id(w) not in quantized)
    weights += round(sum(w.numel() for w in quantized.values()) * BITS[quant_bits or 8] / 8)
    turn, state = SPARING.get(getattr(tuner, "tuner_type", ""), (_all, _of_all))
    learning = turn(model, tuner)
    optimizer = state(model, tuner, learning, optim)
    with FakeTensorMode():
        step = _taken(model, partial(_step, model, rows, length, reads, compute, checkpointing))
    gradients = sum(map(_size, learning))
    widened = (
        max((w.numel() for w in quantized.values()), default=0) * compute.itemsize
    )  # one at a time, to multiply it
    fragments = FRAGMENTS * step.small if device == "cpu" else FRAGMENTS_ON_GPU * (step.most + widened)
    return MemoryPlan(
        count=sum(weight.numel() for weight in model.parameters()),
        trainable=sum(weight.numel() for weight in learning),
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        activations=step.activations,
        logits=step.logits,
        overhead=step.most - step.activations - step.logits + widened + round(fragments),
        fragments=round(fragments),
    )


def optimizer_state(shapes: Iterable[Sequence[int]], optim: str) -> int:
    """Bytes that an optimizer holds of weights of these shapes.

    >>> optimizer_state([(100, 10)], "adamw_torch"), optimizer_state([(100, 10)], "paged_adamw_8bit")
    (8000, 2000)
    >>> optimizer_state([(100, 10), (10,)], "adafactor")
    480
    """
    name = optim.removeprefix("paged_")
    if name == "adafactor":
        return sum(
            4 * (math.prod(s) if len(s) < 2 else math.prod(s[:-1]) + math.prod((*s[:-2], s[-1]))) for s in shapes
        )
    each = next((size for begin, size in STATES.items() if name.startswith(begin)), 8)
    smaller = next((part for end, part in NARROW.items() if name.endswith(end)), 1)
    return sum(map(math.prod, shapes)) * each // smaller


def _all(model: Any, tuner: Any) -> list[nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def _of_all(model: Any, tuner: Any, learning: list[nn.Parameter], optim: str) -> int:
    return optimizer_state([weight.shape for weight in learning], optim)


def _drawn_layers(model: Any, tuner: Any) -> list[nn.Parameter]:
    """LISA: the layers whose turn it is not are frozen, and forgotten by the optimizer."""
    for layer in decoder_layers(model)[tuner.lisa_activated_layers :]:
        layer.requires_grad_(False)
    return _all(model, tuner)


def _of_low_rank(model: Any, tuner: Any, learning: list[nn.Parameter], optim: str) -> int:
    """GaLore: of a matrix of a layer, a basis along its shorter side, and Adam's two states in that subspace."""
    rank = tuner.galore_rank
    linear: list[Any] = [module.weight for module in decoder_layers(model).modules() if is_linear(module)]
    low = {id(weight): weight for weight in linear if min(weight.shape) > rank}
    rest = [weight for weight in learning if id(weight) not in low]
    numbers: int = sum(rank * (min(weight.shape) + 2 * max(weight.shape)) for weight in low.values())
    return 4 * numbers + _of_all(model, tuner, rest, optim)


SPARING: dict[str, tuple[Callable[..., list[nn.Parameter]], Callable[..., int]]] = {
    "lisa": (_drawn_layers, _of_all),
    "galore": (_all, _of_low_rank),
}
"""Tuners of which a step holds less than their weights let expect: what learns in a step, and what is held of it."""


def _quantized(model: Any) -> dict[int, Tensor]:
    """The weights that bitsandbytes replaces: those of frozen linear layers, apart from the head."""
    linear: list[Any] = [module.weight for module in decoder_layers(model).modules() if isinstance(module, nn.Linear)]
    return {id(weight): weight for weight in linear if not weight.requires_grad}


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes of a step: kept for the backward pass before the head, and from there on; most that are alive at once, and
    most of them in small pieces."""

    activations: int
    logits: int
    most: int
    small: int


def _taken(model: Any, step: Callable[[], Taken]) -> Taken:
    """What a step takes. Of many layers that are alike, what more of them take is seen from a few."""
    try:
        holder, name = layer_stack(model)
    except SettingError:
        return step()
    layers: nn.ModuleList = getattr(holder, name)
    if len(layers) > 2 * FEW and all(_looks(layer) == _looks(layers[0]) for layer in layers):
        some = []
        for number in (FEW, 2 * FEW):
            setattr(holder, name, layers[:number])
            some.append(step())
        setattr(holder, name, layers)
        few, more = some
        kept = more.activations + more.logits - few.activations - few.logits
        if more.most - few.most == kept:  # else most is alive near the end, and with more layers perhaps not
            times = (len(layers) - FEW) / FEW
            whole = few.activations + few.logits + times * kept
            most, small = (
                round(one + times * (two - one)) for one, two in ((few.most, more.most), (few.small, more.small))
            )
            logits = max(0, more.logits)  # the head is one, however many layers there are
            return Taken(round(whole) - logits, logits, most, small)
    return step()


def _looks(layer: nn.Module) -> list[Any]:
    """All that what a layer takes depends on."""
    weights = [(name, w.shape, w.dtype, w.requires_grad) for name, w in layer.named_parameters()]
    return [*weights, bool(layer._forward_hooks)]


def _put_on_cpu(model: nn.Module) -> None:
    """In place of the weights of the meta device such as know where they would be: autocast asks for that."""
    made: dict[int, Any] = {}
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None and weight.device.type == "meta":
                fresh = nn.Parameter(torch.empty(weight.shape, dtype=weight.dtype), requires_grad=weight.requires_grad)
                module._parameters[name] = made.setdefault(id(weight), fresh)  # tied weights stay tied
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.device.type == "meta":
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


def _step(model: Any, rows: int, length: int, reads: int | None, compute: torch.dtype, checkpointing: bool) -> Taken:
    """A step, forward and backward."""
    _put_on_cpu(model)
    for weight in model.parameters():
        weight.grad = torch.empty_like(weight) if weight.requires_grad else None
    ids = torch.zeros(rows, length, dtype=torch.long)
    ledger = Ledger(
        (*model.parameters(), *model.buffers(), *(w.grad for w in model.parameters() if w.grad is not None))
    )
    at_head: list[int] = []
    head = model.get_output_embeddings()

    def note(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        at_head.append(ledger.alive)
        return arguments if reads is None else (arguments[0].flatten(0, 1)[:reads][None], *arguments[1:])

    hook = head.register_forward_pre_hook(note) if head is not None else None
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    for module in model.modules():
        if compute != torch.float32 and hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False  # as in training: PEFT would widen all activations
    model.train()
    with ledger:
        with torch.autocast("cpu", compute, enabled=compute != torch.float32):
            if reads is None and head is not None:
                loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            else:
                loss = _of_read(model(input_ids=ids, use_cache=False).logits)
        kept = ledger.alive
        loss.backward()
    if hook:
        hook.remove()
    before = at_head[0] if at_head else kept
    return Taken(before, kept - before, ledger.most, ledger.most_small)


def _of_read(logits: Tensor) -> Tensor:
    """A loss of log-probabilities, or of the numbers of another head."""
    if logits.dim() < 3:
        return logits.float().sum()
    place = torch.arange(logits.shape[1])
    return picked_logprobs(logits[0], place, torch.zeros_like(place)).sum()


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within this, counts the bytes of all tensors that come into being, but for those given.

    alive: now. most: at the worst moment. small, most_small: the same of pieces of at most `SMALL` bytes.
    """

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive = self.most = self.small = self.most_small = 0
        self.given = [tensor.untyped_storage() for tensor in given]  # held, so that their addresses stay theirs
        self.there: dict[int, Any] = {storage._cdata: None for storage in self.given}

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        found = function(*arguments, **(keywords or {}))
        for tensor in tree_iter(found):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return found

    def _note(self, storage: torch.UntypedStorage) -> None:
        address, size = storage._cdata, storage.nbytes()
        part = size if size <= SMALL else 0
        if address in self.there:
            return

        def gone(_: object) -> None:
            self.alive -= size
            self.small -= part
            del self.there[address]

        self.there[address] = weakref.ref(storage, gone)
        self.alive += size
        self.small += part
        self.most = max(self.most, self.alive)
        self.most_small = max(self.most_small, self.small)
