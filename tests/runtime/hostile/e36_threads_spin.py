# ruff: noqa
"""
problem: mix
kind: exhaust
expect: timeout
effect: no verdict in time
"""


def mix(xs, k):
    return None


import threading


def spin():
    while True:
        pass


for _ in range(8):
    threading.Thread(target=spin).start()
