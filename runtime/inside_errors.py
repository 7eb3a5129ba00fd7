"""What the candidate raised, as the tester sees it: exceptions cross by name, with plain arguments.

Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import sys
from typing import Any

from leafwise.runtime.inside_codec import Codec, MalformedError, Tree

_LIBRARY = (
    "_csv _pickle _queue _struct binascii builtins calendar collections configparser copy csv dataclasses decimal "
    "fractions getopt graphlib ipaddress json numpy pickle queue re shutil socket sqlite3 sre_constants statistics "
    "struct subprocess tarfile tokenize urllib uuid xml zipfile zlib zoneinfo"
)
"""Packages whose exceptions are the real classes here too. Those of test frameworks are not: they would end a test."""
_REAL = frozenset(_LIBRARY.split())
_MAX_CHAIN = 50
_PLACED = (UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError)
"""Their text has what is at a place of their argument; if that is negative, Python reads what lies before it."""


class LoadError(Exception):
    """The candidate raised while loading; `args[0]` is what it raised."""


class CandidateErrors:
    """The exception classes of one candidate."""

    def __init__(self) -> None:
        self._made: dict[str, type[BaseException]] = {}

    def make(self, described: Tree) -> BaseException:
        """The exception that the solver describes.

        Raises:
            MalformedError: it describes none; other errors of reading data are possible too.
        """
        kind = self.class_of(described["chain"])
        text, args, line = str(described["text"]), described["args"], described.get("line")
        plain = Codec().decode(args) if args is not None else (text,)
        try:
            error = kind(*plain)
            if isinstance(error, _PLACED) and error.args[-3] < 0:
                raise IndexError("no place in a text")
        except Exception:  # constructors of library exceptions may want other arguments
            error = _bare(kind, plain, text)
        fields = {str(name): Codec().decode(tree) for name, tree in described.get("fields", {}).items()}
        vars(error).update({name: value for name, value in fields.items() if not name.startswith("_")})
        return with_origin(error, text, line if isinstance(line, int) else None)

    def class_of(self, chain: Tree) -> type[BaseException]:
        """The class for a chain of [module, name]: the real one if it is a library's, else one made for the name.

        Raises:
            MalformedError: no class can have that name.
        """
        (module, name), rest = chain[0], chain[1:]
        if len(chain) > _MAX_CHAIN or not str(name).isidentifier():
            raise MalformedError("no exception type")
        home = sys.modules.get(str(module)) if str(module).partition(".")[0] in _REAL else None
        known = vars(home).get(str(name)) if home is not None else None
        if isinstance(known, type) and issubclass(known, BaseException):
            return known
        if name not in self._made:
            parent = self.class_of(rest) if rest else Exception
            self._made[name] = type(str(name), (parent,), {"__module__": "solution"})
        return self._made[name]


def _bare(kind: type[BaseException], args: Any, text: str) -> BaseException:
    """An exception whose constructor refused its arguments; for a group, one that only has the name."""
    try:
        error: BaseException = kind.__new__(kind)
        error.args = tuple(args)
    except Exception:
        named: type[Exception] = type(kind.__name__, (Exception,), {"__module__": kind.__module__})
        return named(text)
    return error


def with_origin(error: BaseException, text: str, line: int | None) -> BaseException:
    """The same exception, with the candidate's own words for it and its line."""
    error._origin = (text, line)  # type: ignore[attr-defined]
    return error


def origin_of(error: BaseException) -> tuple[str, int | None]:
    """The candidate's own words for an exception, and its line; nothing for one that is not the candidate's."""
    text, line = getattr(error, "_origin", ("", None))
    return text, line
