"""The errors of the team, as one tree below `LeafwiseError`.

    LeafwiseError
    └── AgentError
        ├── TaskError          the task, its examples, its tests or context files: nothing was started
        ├── TeamFileError      the team's TOML file cannot be read or says what there is not: nothing was started
        ├── PromptError        a prompt file is missing, or its variables do not match
        ├── ReviewError        an edited plan cannot be used
        ├── RunError           a stored run is missing, unreadable, in use, or cannot be written
        ├── MemoryFileError    a file of verified functions is not one, is damaged, or cannot be written
        └── RunInterrupted     the caller stopped the run; it can be resumed

What a model writes, however wrong, is a value: see `agents.contracts`.
"""

from __future__ import annotations

from leafwise.runtime.errors import LeafwiseError


class AgentError(LeafwiseError):
    """Base of the team's errors."""


class TaskError(AgentError):
    """The task cannot be read."""


class TeamFileError(AgentError):
    """The team's file cannot be used."""


class PromptError(AgentError):
    """A prompt file and the code that renders it do not match."""


class ReviewError(AgentError):
    """A plan that somebody edited cannot be used."""


class RunError(AgentError):
    """A stored run cannot be used."""


class MemoryFileError(AgentError):
    """A file of verified functions cannot be used; nothing in it was changed."""


class RunInterrupted(AgentError):  # noqa: N818 - an event, not a fault
    """The run was stopped by the caller; what was finished is kept."""
