"""The team: task, problem tree, roles, workflow, selection, and `solve`."""

from leafwise.agents.contracts import Answer, AnswerStatus, Candidate, Event, EventKind, Evidence, Node, Task
from leafwise.agents.errors import AgentError, RunError, RunInterrupted, TaskError
from leafwise.agents.review import ProposedPlan
from leafwise.agents.role_settings import Role, RoleSettings
from leafwise.agents.settings import Settings
from leafwise.agents.solve import Options, Run, asolve, read_inputs, resume, solve, start

__all__ = [
    "AgentError",
    "Answer",
    "AnswerStatus",
    "Candidate",
    "Event",
    "EventKind",
    "Evidence",
    "Node",
    "Options",
    "ProposedPlan",
    "Role",
    "RoleSettings",
    "Run",
    "RunError",
    "RunInterrupted",
    "Settings",
    "Task",
    "TaskError",
    "asolve",
    "read_inputs",
    "resume",
    "solve",
    "start",
]
