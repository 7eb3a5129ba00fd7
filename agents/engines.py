"""Which engine each role uses: those that are given stay the caller's, those that are named are opened and closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

from leafwise.agents.role_settings import Role
from leafwise.agents.settings import Settings
from leafwise.runtime.engine import Engine
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.paths import expanded
from leafwise.runtime.sharing import open_engines

Model = str | Engine
"""A name, a path or a URL; or an engine."""


def models_of(settings: Settings, model: Model, models: Mapping[Role, Model]) -> dict[Role, Model]:
    """The model of each role.

    Args:
        settings: name the models of some roles.
        model: of the others.
        models: by role, in place of what the settings name.
    """
    return {role: models.get(role) or settings.of(role).model or model for role in Role}


@contextmanager
def opened(models: Mapping[Role, Model], options: EngineOptions) -> Iterator[dict[Role, Engine]]:
    """The engine of each role; models that are named are open inside the block.

    Args:
        models: of each role. Names of the same model get one engine.
        options: of every engine that is opened.

    Raises:
        ModelError, EngineError: one does not load, or they do not fit the memory together.
    """
    with ExitStack() as stack:
        names = [model for model in models.values() if isinstance(model, str)]
        engines = open_engines(names, options) if names else {}
        for engine in {id(engine): engine for engine in engines.values()}.values():
            stack.enter_context(closing(engine))
        yield {role: engines[model] if isinstance(model, str) else model for role, model in models.items()}


def lasting_name(model: str) -> str:
    """A model's name as it is stored: a path is made absolute, so that a run can be resumed from anywhere."""
    path = expanded(model)
    return str(path.absolute()) if path.is_file() else model


def lasting(settings: Settings) -> Settings:
    """The settings with their models' names made to last."""
    roles = {
        role: own.model_copy(update={"model": lasting_name(own.model)}) if own.model else own
        for role, own in settings.roles.items()
    }
    return settings.model_copy(update={"roles": roles})
