"""A verb of the command line: settings from flags and a YAML file, a function that works, an exit code.

    @verb(AuditCommand)
    def audit(settings: AuditCommand, run: Run) -> int:
        '''Measure a model's bias.'''

gives a command whose options, help and checks all come from `AuditCommand`. A verb whose settings name a run
folder (RunSettings) gets the run as its second argument.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import Group, Parameter

from chunfen.cli.messages import message
from chunfen.cli.plan import print_plan
from chunfen.cli.screen import say, screen
from chunfen.errors import SettingError
from chunfen.plugins import run_plugins
from chunfen.runs import Run
from chunfen.settings.aliases import BESIDE
from chunfen.settings.base import Settings
from chunfen.settings.describe import Option, options
from chunfen.settings.model import ModelSettings
from chunfen.settings.resolve import resolve
from chunfen.settings.run import RunSettings
from chunfen.settings.saved import saved_settings

EXIT_OK = 0
EXIT_GATE = 3
PLAIN = frozenset({"text", "a number", "a path", "a list of text", "text or none", "a path or none"})
"""Values that need no more words than the option's help has."""


class Verb:
    """A command that cyclopts can read as if it had one keyword argument per option."""

    def __init__(self, function: Callable[..., int], settings: type[Settings], argument: str | None) -> None:
        self.function, self.settings, self.argument = function, settings, argument
        self.__name__, self.__doc__ = function.__name__, inspect.getdoc(function)
        self.__signature__ = _signature(settings, argument)
        self.__annotations__ = {p.name: p.annotation for p in self.__signature__.parameters.values()}

    def __call__(self, *positional: str, **given: Any) -> int:
        """Run with the values as typed; the names may be older ones."""
        config = given.pop("config", None)
        if positional and self.argument:
            given[self.argument] = positional[0]
        elif positional:
            config = positional[0]
        if config is not None and not str(config).endswith((".yaml", ".yml")):
            hint = f"to name a model, write --model {config}"
            raise SettingError(f"{config}: a settings file ends in .yaml or .yml; {hint}.")
        resolved = resolve(self.settings, config, given)
        if isinstance(resolved.settings, ModelSettings):
            saved = saved_settings(resolved.settings.adapters, resolved.settings.model)
            resolved = resolve(self.settings, config, given, saved) if saved else resolved
        for warning in resolved.warnings:
            say(warning)
        if getattr(resolved.settings, "dry_run", False):
            print_plan(self.__name__, resolved)
            return EXIT_OK
        return self.perform(resolved.settings)

    def perform(self, settings: Settings) -> int:
        """Do the work with settings that are final."""
        if not isinstance(settings, RunSettings):
            return self.function(settings)
        run_plugins(settings.external_plugins)
        run = start(self.__name__, settings)
        with screen(run), run:
            return self.function(settings, run)


def verb(settings: type[Settings], *, argument: str | None = None) -> Callable[[Callable[..., int]], Verb]:
    """Make a verb of a function.

    argument: the option that may be given without its flag, in the place where others take a YAML file.
    """
    return lambda function: Verb(function, settings, argument)


def start(name: str, settings: RunSettings) -> Run:
    """The run to continue, or a new one."""
    run = Run.resume(name, settings) if settings.resume else None
    if run is not None:
        say(message("run.continuing", settings.lang, folder=run.folder))
        return run
    if settings.resume:
        say(message("run.starting_new", settings.lang))
    return Run.create(name, settings)


def _signature(settings: type[Settings], argument: str | None) -> inspect.Signature:
    known = {option.name: option for option in options(settings)}
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    if argument:
        first = _parameter(known.pop(argument), either)
    else:
        help_text = "A YAML file of options, one 'name: value' per line; flags on the command line win."
        file = Annotated[str | None, Parameter(help=help_text, metavar="PATH")]
        first = inspect.Parameter("config", either, default=None, annotation=file)
    rest = [_parameter(option, inspect.Parameter.KEYWORD_ONLY) for option in known.values()]
    older = [_older(name) for name, about in BESIDE.items() if about in known]
    return inspect.Signature([first, *rest, *older])


def _older(name: str) -> inspect.Parameter:
    """An older name that stands beside an option; the help does not show it."""
    hidden = Annotated[str | None, Parameter(show=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hidden)


def _parameter(option: Option, kind: Any) -> inspect.Parameter:
    """One option for cyclopts, which only tells flags, lists and single values apart."""
    plain: Any = bool if option.is_flag else list[str] if option.is_list else str
    default = option.default_text
    more = Parameter(
        help=option.help if option.is_flag or option.accepts in PLAIN else f"{option.help} [{option.accepts}]",
        group=_group(option.topic),
        show_default=lambda _: default,
        metavar=option.metavar,
        consume_multiple=option.is_list,
        negative=None if option.is_flag else (),
    )
    shown = option.default if option.is_flag else [default] if option.is_list else default
    return inspect.Parameter(option.name, kind, default=shown, annotation=Annotated[plain, more])


_GROUPS: dict[type[Settings], Group] = {}


def _group(topic: type[Settings]) -> Group:
    """The panel of a topic in the help; panels keep the order in which a verb inherits its topics."""
    return _GROUPS.setdefault(topic, Group.create_ordered(topic.__name__.removesuffix("Settings")))
