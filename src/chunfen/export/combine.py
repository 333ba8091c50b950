"""Several adapters as one change of the weights.

What an adapter changes in a layer is the difference that merging it makes to the layer's weights: the "task vector" of
the literature. It exists for every kind of adapter that can be merged, whatever its rank. How task vectors are combined
is PEFT's code (`peft.utils.merge_utils`), applied to the whole change of a weight, as in the papers. PEFT's own
`add_weighted_adapter` applies it to the factors A and B of a LoRA, whose product then holds cross terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chunfen.errors import SettingError
from chunfen.export.adapters import Adapter, explained, put_beside

if TYPE_CHECKING:
    from peft import PeftModel

AVERAGED = ("ties", "dare_ties")
"""Methods that divide by the number of adapters that agree."""
PRUNED = ("ties", "dare_linear", "dare_ties")
"""Methods that keep a share of each adapter's changes."""
DENSITY = 0.5


def side_by_side(model: Any, adapters: Sequence[Adapter]) -> PeftModel:
    """The model with all adapters on it, named as `names_of` says; the first is active.

    Raises SettingError for adapters of different kinds, and for those that change more than layers.
    """
    first = adapters[0]
    for adapter in adapters:
        if adapter.kind != first.kind:
            raise SettingError(
                f"{first} and {adapter} are of different kinds and cannot be combined. Merge them one after the other "
                "(--merge_method sequential)."
            )
        if more := _beyond_layers(adapter):
            raise SettingError(f"{adapter} has {more}, which cannot be combined. Use --merge_method sequential.")
    slots = names_of(adapters)
    wrapped = put_beside(model, first, slots[0])
    for slot, adapter in zip(slots[1:], adapters[1:], strict=True):
        wrapped = put_beside(wrapped, adapter, slot)
    _refuse_tied(wrapped)
    return wrapped


def names_of(adapters: Sequence[Any]) -> list[str]:
    """What PEFT is told to call them. A bare number would be taken for the number of a layer."""
    return [f"adapter{number}" for number in range(len(adapters))]


def _beyond_layers(adapter: Adapter) -> str:
    """What an adapter holds besides changes of layers; each of it exists once in a model, not once per adapter."""
    config = adapter.config
    if config is None:
        return "no changes of layers"
    for name in ("modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication"):
        if value := getattr(config, name, None):
            return f"{name} {value}"
    bias = getattr(config, "bias", "none")
    return f"bias {bias!r}" if bias != "none" else ""


def _refuse_tied(wrapped: PeftModel) -> None:
    """Refuse changes of an embedding that is the head as well: added to the shared weights, they would change both."""
    names = [name for name, layer in tuner_layers(wrapped) if _is_end(wrapped, layer)]
    if names and wrapped.config.get_text_config().tie_word_embeddings:
        raise SettingError(
            f"the adapters change {names[0]}, and the model's embedding and head share their weights. "
            "Use --merge_method sequential."
        )


def _is_end(wrapped: PeftModel, layer: Any) -> bool:
    return layer is wrapped.get_input_embeddings() or layer is wrapped.get_output_embeddings()


def tuner_layers(wrapped: PeftModel) -> Iterator[tuple[str, Any]]:
    """The layers that adapters sit on, with their names in the plain model."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in wrapped.get_base_model().named_modules():
        if isinstance(module, BaseTunerLayer):
            yield name, module


@torch.no_grad()
def changes(layer: Any, names: Sequence[str]) -> dict[str, list[Tensor]]:
    """What each adapter changes in a layer: parameter of the layer → one float32 tensor per adapter.

    The layer is left as it was.
    """
    base = layer.get_base_layer()
    parameters = dict(base.named_parameters())
    before = {key: parameter.data for key, parameter in parameters.items()}
    found: dict[str, list[Tensor]] = {key: [] for key in parameters}
    for name in names:
        for key, parameter in parameters.items():
            parameter.data = before[key].to(torch.float32, copy=True)
        layer.merge(safe_merge=True, adapter_names=[name])
        for key in parameters:
            found[key].append(base.get_parameter(key).data.float() - before[key].float())
        layer.merged_adapters.clear()
    for key, parameter in parameters.items():
        parameter.data = before[key]
    return found


def combining(method: str, weights: Sequence[float], density: float | None) -> Callable[[list[Tensor]], Tensor]:
    """How the changes of N adapters become one: a function of N tensors of one shape.

    >>> one, other = torch.tensor([2.0, -1.0, 4.0, 0.5]), torch.tensor([4.0, 3.0, -1.0, 0.5])
    >>> combining("linear", (0.5, 0.5), None)([one, other]).tolist()
    [3.0, 1.0, 1.5, 0.5]
    >>> combining("ties", (1.0, 1.0), 0.5)([one, other]).tolist()
    [3.0, 3.0, 4.0, 0.0]
    """
    from peft.utils import merge_utils

    methods: Mapping[str, Callable[..., Tensor]] = {
        "linear": merge_utils.task_arithmetic,
        "ties": merge_utils.ties,
        "dare_linear": merge_utils.dare_linear,
        "dare_ties": merge_utils.dare_ties,
    }
    more = {"density": density} if method in PRUNED else {}
    return lambda parts: methods[method](parts, weights=torch.tensor(weights, device=parts[0].device), **more)


def weights_of(method: str, weights: Sequence[float], adapters: int) -> tuple[float, ...]:
    """The weight of each adapter. Raises SettingError for too few or too many.

    >>> weights_of("linear", (), 2), weights_of("ties", (), 2)
    ((0.5, 0.5), (1.0, 1.0))
    """
    if not weights:
        return (1.0 if method in AVERAGED else 1 / adapters,) * adapters
    if len(weights) != adapters:
        raise SettingError(f"weights: {len(weights)} are given for {adapters} adapters; give one for each.")
    return tuple(weights)


def combine(wrapped: PeftModel, method: str, weights: Sequence[float], density: float | None, seed: int) -> Any:
    """The plain model with the combined changes of its adapters in its weights.

    dare draws from torch's generator with this seed, layer by layer.
    """
    names = names_of(weights)
    mix = combining(method, weights, density)
    kind = next(iter(wrapped.peft_config.values())).peft_type
    with torch.random.fork_rng(), explained(f"{kind} adapters cannot be combined"):
        torch.manual_seed(seed)
        for _, layer in tuner_layers(wrapped):
            write(layer, {key: mix(parts) for key, parts in changes(layer, names).items()})
        return wrapped.unload()


@torch.no_grad()
def write(layer: Any, change: Mapping[str, Tensor]) -> None:
    """Add a change to a layer's weights; the sum is rounded once."""
    for key, parameter in layer.get_base_layer().named_parameters():
        parameter.data = (parameter.data.float() + change[key]).to(parameter.dtype)
