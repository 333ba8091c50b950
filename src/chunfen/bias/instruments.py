"""The instruments: an axis as probes, each an endpoint in one language. `build_probes` makes them all.

| endpoint | asked | read |
|---|---|---|
| line | a text with the group word after the item | log p(positive text) − log p(negative text), nats |
| reverse | the same with the group word before the item | the same |
| choice | "who suits the job?", both orders | which class of answers is likeliest, and by how much |
| reply | the same question | the class of a generated reply |
| story | "write two sentences about …" | whom a generated text is about |
| cue, cue_choice | questions whose answer is a group | guard: answered right, generated and by likelihood |
| agreement | two texts, one of which contradicts itself | guard: the lead of the right one, nats |
| competence | plain cloze in the language | whether the endpoints can be measured at all |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chunfen.bias.axis import Axis
from chunfen.bias.design import Thin
from chunfen.bias.generated import CueProbe, Generated, ReplyProbe, StoryProbe
from chunfen.bias.instrument import Instrument
from chunfen.bias.likelihood import (
    AgreementProbe,
    ChoiceProbe,
    CompetenceProbe,
    CueChoiceProbe,
    MinimalPairProbe,
    ReverseProbe,
)
from chunfen.engines.base import Sampling
from chunfen.errors import SettingError
from chunfen.measure.types import Probe
from chunfen.registry import did_you_mean

DESIGN: Mapping[str, Thin] = {
    "line": Thin(per_item=3),
    "reverse": Thin(per_item=1),
    "choice": Thin(items=80, per_item=1),
    "reply": Thin(items=80, per_item=2),
    "story": Thin(items=80, per_item=2),
    "cue": Thin(per_item=1),
    "cue_choice": Thin(per_item=2),
}
"""How much each endpoint asks (for cues: items per question); those not named ask all. An audit is to take a minute or
two on two cores, and items, not templates, are what intervals depend on."""

LIKELIHOOD: dict[str, tuple[str, type[Instrument]]] = {
    "line": ("line", MinimalPairProbe),
    "reverse": ("reverse", ReverseProbe),
    "choice": ("question", ChoiceProbe),
    "cue_choice": ("cue", CueChoiceProbe),
    "agreement": ("agreement", AgreementProbe),
    "competence": ("competence", CompetenceProbe),
}
"""Endpoint → (the section of the probe file that it needs, its class)."""

GENERATED: dict[str, tuple[str, type[Generated]]] = {
    "reply": ("question", ReplyProbe),
    "story": ("story", StoryProbe),
    "cue": ("cue", CueProbe),
}


def build_probes(
    axis: Axis,
    endpoints: Sequence[str] = (),
    *,
    samples: int = 1,
    max_new_tokens: int = 32,
    temperature: float = 1.0,
    seed: int = 42,
    thin: Mapping[str, Thin] | None = None,
) -> list[Probe]:
    """The probes of an axis: all that its file has sections for, or those named.

    samples, max_new_tokens, temperature, seed: how replies are sampled; cues are answered greedily, once.
    thin: endpoint → how much to ask (`Thin()`: every item in every template, in both orders), over the defaults
    of `DESIGN`; see `design.crossed` for which.
    Raises `SettingError` for an endpoint that does not exist or that the axis' file has nothing for.
    """
    known = {name: section for name, (section, _) in {**LIKELIHOOD, **GENERATED}.items()}
    for name in endpoints:
        if name not in known:
            hint = did_you_mean(name, known) or f" Known: {', '.join(known)}."
            raise SettingError(f"endpoints: unknown endpoint {name!r}.{hint}")
        if not getattr(axis, known[name]):
            wrong = f"endpoints: axis {axis.axis!r} ({axis.language}) has no {name!r}"
            raise SettingError(f"{wrong} — add a section `{known[name]}` to its file or leave {name!r} out")
    wanted = endpoints or [name for name, section in known.items() if getattr(axis, section)]
    take = {**DESIGN, **(thin or {})}
    sampling = Sampling(max_new_tokens, temperature, samples=samples, seed=seed)
    greedy = Sampling(max_new_tokens, temperature=0.0, seed=seed)
    probes: list[Any] = []
    for name in wanted:
        if name in LIKELIHOOD:
            probes.append(LIKELIHOOD[name][1](axis, name, thin=take.get(name, Thin())))
        else:
            how = greedy if name == "cue" else sampling
            probes.append(GENERATED[name][1](axis, name, sampling=how, thin=take.get(name, Thin())))
    return probes
