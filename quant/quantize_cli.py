"""Make, convert, measure, inspect and verify GGUF files."""

from __future__ import annotations

import sys
from importlib import import_module

_COMMANDS = {
    "convert": "a Hugging Face directory to a full-precision GGUF file",
    "imatrix": "gather what the activations say about the weights' importance",
    "reference": "store the reference's answers, to measure against",
    "measure": "KL divergence and perplexity of a file against a reference",
    "costs": "what each tensor costs in each type: bytes, error, seconds on this machine",
    "sweep": "sizes against predicted loss, as a table and a plot",
    "inspect": "bits per weight and error per layer and kind, as a table and a picture",
    "verify": "check a file, without loading it",
}
_USAGE = """usage: leafwise quantize SOURCE TARGET [OPTIONS]     make a quantized file; --help says more
       leafwise quantize COMMAND [ARGUMENTS]       one of the commands below; COMMAND --help says more
"""


def main(arguments: list[str]) -> int:
    """Run `leafwise quantize`; 0 for success.

    The first argument is a command's name or the file to quantize: a file named like a command is ./NAME.

    Raises:
        LeafwiseError: it could not be done; whoever called says so, with status 2.
    """
    first = arguments[0] if arguments else ""
    if first in ("", "-h", "--help"):
        print(_USAGE)
        print("\n".join(f"  {name:<10} {what}" for name, what in _COMMANDS.items()))
        print()
        sys.stdout.flush()
    command = first if first in _COMMANDS else "make"
    module = import_module(f"leafwise.quant.{command}_cli")
    rest = arguments[1:] if first in _COMMANDS else arguments or ["--help"]
    return int(module.main(rest))
