"""The errors of the runtime, as one tree.

    LeafwiseError                     everything leafwise raises on purpose; carries a hint
    ├── UsageError                    the caller's input: nothing was started
    ├── ModelError                    a model file or its source
    │   ├── ModelNotFoundError        no such name, no such path
    │   ├── ModelFileError            not a GGUF, truncated, inconsistent, unsupported
    │   └── DownloadError             the hub said no, the transfer broke, the file is not what was promised
    ├── EngineError                   running a model
    │   ├── ContextOverflowError      prompt + completion do not fit: raised before any token is computed
    │   ├── ChatTemplateError         no template in the file, or one that does not render
    │   ├── GrammarError              a schema that cannot become a grammar
    │   ├── PrefixFileError           a prompt kept on disk: damaged, or made with another model or parameters
    │   ├── EngineClosedError         submitted to, or cut off by, a closed engine
    │   ├── EngineCrashedError        native code failed
    │   └── ScriptExhaustedError      the scripted engine has no reply left
    └── SandboxError                  running a program: never means that the program itself failed
        ├── SandboxUnavailableError   this machine cannot give the level that was asked for
        └── SandboxBrokenError        the machinery died; the program has no verdict

A model's wrong answer and a program's failure are values (`Completion`, `Verdict`), never errors.
"""

from __future__ import annotations


class LeafwiseError(Exception):
    """Base of every error leafwise raises on purpose.

    Args:
        message: what went wrong, one line, no full stop needed.
        hint: what the reader can do about it; empty when there is nothing.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LeafwiseError):
    """The caller's input is wrong; nothing was started."""


class ModelError(LeafwiseError):
    """A model file or its source is the problem."""


class ModelNotFoundError(ModelError):
    """No model has this name, or no file lies at this path."""


class ModelFileError(ModelError):
    """The file is not a usable GGUF: wrong magic, truncated, inconsistent, unsupported."""


class DownloadError(ModelError):
    """A download was refused, broke off, or brought something else than promised."""


class EngineError(LeafwiseError):
    """Running a model failed."""


class ContextOverflowError(EngineError):
    """Prompt and completion do not fit the context; raised before any token is computed."""


class ChatTemplateError(EngineError):
    """The model file has no chat template, or it does not render."""


class GrammarError(EngineError):
    """The schema cannot be turned into a grammar."""


class PrefixFileError(EngineError):
    """A prompt kept on disk cannot be written, or is not for this model, library version and parameters."""


class EngineClosedError(EngineError):
    """The engine is closed."""


class EngineCrashedError(EngineError):
    """Native code failed; the engine cannot go on."""


class ScriptExhaustedError(EngineError):
    """The scripted engine was asked for more replies than it was given."""


class SandboxError(LeafwiseError):
    """The sandbox failed; says nothing about the program."""


class SandboxUnavailableError(SandboxError):
    """This machine cannot give the sandbox level that was asked for."""


class SandboxBrokenError(SandboxError):
    """The sandbox's machinery died; the program has no verdict."""


def error_named(name: str, message: str, hint: str) -> LeafwiseError:
    """An error that another process raised, as itself; an `EngineError` if it is none of these."""
    kind = globals().get(name)
    if isinstance(kind, type) and issubclass(kind, LeafwiseError):
        return kind(message, hint)
    return EngineError(message, hint)
