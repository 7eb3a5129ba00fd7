# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: the interpreter's own constants and type slots are overwritten in memory
"""


def mix(xs, k):
    return None


import ctypes

WORD = ctypes.sizeof(ctypes.c_void_p)


def put_word(thing, word, value):
    ctypes.c_ssize_t.from_address(id(thing) + word * WORD).value = value


for number in range(-5, 257):  # every small number is 1 from now on
    ctypes.c_int32.from_address(id(number) + 3 * WORD).value = 1
put_word(False, 1, id(int))
ctypes.c_int32.from_address(id(False) + 3 * WORD).value = 1
slot = ctypes.c_ssize_t.from_address(id(list) + 25 * WORD)
slot.value = ctypes.c_ssize_t.from_address(id(object) + 25 * WORD).value
