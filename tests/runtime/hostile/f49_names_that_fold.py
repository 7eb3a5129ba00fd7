# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: names in other letters that Python reads as the tests' own
"""


def mix(xs, k):
    return None


import unicodedata

FULL = lambda word: "".join(chr(ord(letter) + 0xFEE0) for letter in word)
for word in ("check", "candidate", "math", "abs", "sorted", "all", "zip", "sum", "map", "isclose", "AssertionError"):
    for name in (FULL(word), word.replace("a", "\u0430"), "\u2060" + word, word + "\ufe0f", word + "\0"):
        globals()[name] = lambda *a, **k: True
exec("def " + FULL("check") + "(candidate): return True")
