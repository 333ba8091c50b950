"""The main job, as a story: audit → plan → train → audit again → verdict → report.

Each step is a function of what the step before left in the run folder, and is done once: a run that was killed goes on
with the first step whose output is not there.

    before.json   the audit of the model as it is           rows.jsonl    what the repair learns from
    train.json    the audit of the training split           adapter/      the repair, a PEFT folder
    after.json    the audit with the repair                 verdict.json  every claim, and whether it holds
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from chunfen.measure.log import AuditLog, Verdict
from chunfen.runs import Run
from chunfen.runs.machine import release_memory
from chunfen.settings.audit import AuditSettings
from chunfen.settings.commands import AuditCommand, BalanceCommand, RepairCommand
from chunfen.settings.model import ModelSettings

if TYPE_CHECKING:
    from chunfen.bias.axis import Axis
    from chunfen.engines.transformers import TransformersEngine
    from chunfen.measure.types import Probe, Split

S = TypeVar("S", bound=AuditCommand)

QUICK_ITEMS, QUICK_TOKENS, QUICK_STEPS, QUICK_RESAMPLES = 10, 20, 8, 500
"""What `--quick` cuts an audit (items, tokens of a reply) and a training down to."""


def audit(settings: AuditCommand, run: Run) -> AuditLog:
    """Measure a model's bias on held-out items. The log stays in the run folder as before.json, with a report."""
    settings = _quickened(settings)
    with _Model(settings) as model:
        log = _audited(settings, run, "before", model, probes=_bias_probes(settings), split=settings.split)
    _report(settings, run)
    return log


def repair(settings: RepairCommand, run: Run) -> Path:
    """Plan a repair from what the training split shows, and train it. Returns the adapter folder."""
    settings = _quickened(settings)
    with _Model(settings) as model:
        _planned(settings, run, model)
    return _trained(settings, run)


def balance(settings: BalanceCommand, run: Run) -> Verdict:
    """Audit, repair, audit again, judge, report. Returns the verdict; everything else is in the run folder."""
    settings = _quickened(settings)
    probes = [*_bias_probes(settings), *_guards(settings)]
    with _Model(settings) as model:
        before = _audited(settings, run, "before", model, probes=probes, split=settings.split)
        _planned(settings, run, model)
    adapter = _trained(settings, run)
    with _Model(settings, adapter) as model:
        after = _audited(settings, run, "after", model, probes=probes, split=settings.split)
    verdict = _judged(settings, run, before, after)
    _report(settings, run)
    return verdict


def _quickened(settings: S) -> S:
    """The settings as they are, or cut down for a rehearsal."""
    if not settings.quick:
        return settings
    fewer: dict[str, Any] = {
        "limit": min(settings.limit or QUICK_ITEMS, QUICK_ITEMS),
        "max_new_tokens": min(settings.max_new_tokens, QUICK_TOKENS),
        "resamples": min(settings.resamples, QUICK_RESAMPLES),
    }
    if isinstance(settings, RepairCommand):
        fewer["max_steps"] = min(settings.max_steps, QUICK_STEPS)
    return settings.model_copy(update=fewer)


# ---------------------------------------------------------------------------------------------------- measuring


def _axes(settings: AuditSettings) -> list[Axis]:
    """The axis in every language that is asked for and that it has a file in."""
    from chunfen.bias.axis import available_axes, load_axis
    from chunfen.errors import SettingError

    known = available_axes(settings.data_dir)
    if settings.axis not in known:
        return [load_axis(settings.axis, settings.languages[0], data_dir=settings.data_dir)]
    languages = [language for language in settings.languages if language in known[settings.axis]]
    if not languages:
        there = ", ".join(known[settings.axis])
        raise SettingError(f"languages {', '.join(settings.languages)}: axis {settings.axis!r} is there in {there}.")
    return [load_axis(settings.axis, language, data_dir=settings.data_dir) for language in languages]


def _bias_probes(settings: AuditSettings, endpoints: Sequence[str] = ()) -> list[Probe]:
    """The probes of the axis. A log of some endpoints alone still needs to know whether they can be measured."""
    from chunfen.bias.instruments import build_probes

    probes: list[Probe] = []
    for axis in _axes(settings):
        wanted = tuple(endpoints or settings.endpoints)
        if wanted and axis.competence and "competence" not in wanted:
            wanted = (*wanted, "competence")
        probes += build_probes(
            axis,
            wanted,
            samples=settings.samples,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=settings.seed,  # type: ignore[attr-defined]
        )
    return probes


def _guards(settings: AuditSettings) -> list[Probe]:
    """What must not get worse. The repaired axis is no guard of itself."""
    from chunfen.benchmarks.guards import guards

    return guards(without=(settings.axis,))


def _audited(settings: Any, run: Run, name: str, model: _Model, *, probes: Sequence[Probe], split: Split) -> AuditLog:
    """The audit of this name in the run folder, measured now if it is not there."""

    def measured(path: Path) -> None:
        from chunfen.measure.run import measure

        engine = model.engine()
        run.record(**{f"fingerprint_{name}": engine.fingerprint()})
        measure(
            engine,
            probes,
            split=split,
            seed=settings.seed,
            resamples=settings.resamples,
            limit=settings.limit,
            cache=run.folder / "cache" / name,
            progress=run.progress,
            target=settings.model + (" + repair" if model.adapter else ""),
            settings=settings.model_dump(mode="json"),
            quick=settings.quick,
        ).save(path)

    return AuditLog.load(run.stage(name, f"{name}.json").make(measured))


class _Model:
    """The model of the settings, as it is or with an adapter: loaded when it is first asked, given up at the end."""

    def __init__(self, settings: Any, adapter: Path | None = None) -> None:
        self.settings, self.adapter = settings, adapter
        self._engine: TransformersEngine | None = None

    def engine(self) -> TransformersEngine:
        from chunfen.engines.transformers import TransformersEngine

        if self._engine is None:
            loaded = _loaded(self.settings, self.adapter, self.settings.torch_dtype)
            self._engine = TransformersEngine(loaded, batch_tokens=self.settings.batch_tokens)
        return self._engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine = None
        release_memory()


def _loaded(settings: ModelSettings, adapter: Path | None, torch_dtype: str) -> Any:
    from chunfen.models.loading import load_model

    return load_model(
        settings.model,
        adapters=(*settings.adapters, *([str(adapter)] if adapter else [])),
        hub=settings.hub,
        revision=settings.revision,
        torch_dtype=torch_dtype,  # type: ignore[arg-type]
        attn_impl=settings.attn_impl,
        device=settings.device,
        trust_remote_code=settings.trust_remote_code,
        system=settings.system,
        template=settings.template,
    )


# ----------------------------------------------------------------------------------------------------- repairing


def _planned(settings: RepairCommand, run: Run, model: _Model) -> None:
    axes = _spoken(settings, run, model)
    run.stage("plan", "rows.jsonl").make(lambda path: _plan(settings, run, axes, model, path))


def _trained(settings: RepairCommand, run: Run) -> Path:
    return run.stage("training", "adapter").make(lambda path: _train(settings, run, path))


def _spoken(settings: RepairCommand, run: Run, model: _Model) -> list[Axis]:
    """The axis in the languages that the model was found to speak; measured now if no audit has said so yet."""
    from chunfen.errors import ChunfenError

    log = _audited(settings, run, "train", model, probes=_bias_probes(settings, ("reply", "story")), split="train")
    spoken = {p.language for p in log.probes if p.role == "endpoint" and any(r.measurable for r in p.results)}
    axes = [axis for axis in _axes(settings) if axis.language in spoken]
    if not axes:
        raise ChunfenError(
            f"{settings.model} is not measurable in {', '.join(settings.languages)}: nothing can be repaired that "
            "cannot be measured. See the competence results in train.json."
        )
    return axes


def _plan(settings: RepairCommand, run: Run, axes: Sequence[Axis], model: _Model, path: Path) -> None:
    """rows.jsonl: what the training split shows, turned into rows, with the model's own answers to keep."""
    from chunfen.bias.plan import plan_repair
    from chunfen.bias.portions import rows_per_part
    from chunfen.data.repair_row import write_rows
    from chunfen.engines.base import Request, Sampling

    most = rows_per_part(_per_step(settings), settings.max_steps)
    prompts = [t.text for axis in axes for t in axis.chat if t.split == "train"][: most["chat"]]
    length = QUICK_TOKENS if settings.quick else 48
    greedy = Sampling(max_new_tokens=length, temperature=0.0, seed=settings.seed)
    replies = model.engine().generate([Request((("user", prompt),), sampling=greedy) for prompt in prompts])
    chat = {prompt: reply.texts[0] for prompt, reply in zip(prompts, replies, strict=True)}
    log = AuditLog.load(run.folder / "train.json")
    plan = plan_repair(axes, log, chat, rows_per_part=most, seed=settings.seed)
    write_rows(path, plan.rows)
    run.record(plan=dict(plan.facts))


def _train(settings: RepairCommand, run: Run, path: Path) -> None:
    from chunfen.data.repair_row import read_rows
    from chunfen.models.adapters import merged
    from chunfen.train.load import training_attention, training_dtype
    from chunfen.train.repair import train_repair

    dtype = training_dtype(settings.train_dtype, settings.device)
    run.record(train_dtype=dtype)
    attention = training_attention(settings.attn_impl, settings.device)
    loaded = _loaded(settings.model_copy(update={"attn_impl": attention}), None, dtype)
    train_repair(
        replace(loaded, model=merged(loaded.model)),  # the repair is an adapter of its own on top of those given
        read_rows(run.folder / "rows.jsonl"),
        adapter=path,
        work=run.folder / "training",
        per_step=_per_step(settings),
        tuner=settings,
        train=settings,
        objective=settings,
        seed=settings.seed,
        progress=run.progress,
        metric=run.metric,
    )
    release_memory()


def _per_step(settings: RepairCommand) -> dict[str, int]:
    """Rows of each part in a training step; half of them in a rehearsal."""
    from chunfen.bias.portions import PER_STEP

    return {part: max(1, count // 2) if settings.quick else count for part, count in PER_STEP.items()}


# ------------------------------------------------------------------------------------------------------- judging


def _judged(settings: BalanceCommand, run: Run, before: AuditLog, after: AuditLog) -> Verdict:
    def judge(path: Path) -> None:
        from chunfen.bias.criteria import load_criteria
        from chunfen.measure.compare import compare
        from chunfen.models.catalog import resolve

        criteria = load_criteria(resolve(settings.model).parameters)
        compare(before, after, criteria, axis=before.probes[0].axis, facts=_costs(run)).save(path)

    verdict = Verdict.load(run.stage("verdict", "verdict.json").make(judge))
    run.record(passed=verdict.passed)
    return verdict


def _costs(run: Run) -> dict[str, float]:
    """Seconds of all stages so far, and bytes of memory at the peak, over all starts of the run."""
    stages = run.stages()
    return {
        "C.time": sum(stage.seconds or 0.0 for stage in stages),
        "C.memory": max((stage.peak_bytes or 0.0 for stage in stages), default=0.0),
    }


def _report(settings: Any, run: Run) -> None:
    from chunfen.report import write_report
    from chunfen.settings.language import language

    logs = {name: run.folder / f"{name}.json" for name in ("before", "after", "verdict")}
    write_report(
        run.folder,
        before=AuditLog.load(logs["before"]),
        after=AuditLog.load(logs["after"]) if logs["after"].exists() else None,
        verdict=Verdict.load(logs["verdict"]) if logs["verdict"].exists() else None,
        manifest=run.manifest,
        lang=language(settings.lang),
    )
