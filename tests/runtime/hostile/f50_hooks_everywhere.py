# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: profile, trace, audit, import and codec hooks rewrite the answers
"""


def mix(xs, k):
    return None


import codecs
import sys
import threading


def hook(frame, event, argument):
    for name in ("value", "reply", "message", "result", "data", "passed"):
        if name in frame.f_locals:
            frame.f_locals[name] = True
    return hook


class Finder:
    def find_spec(self, name, path=None, target=None):
        raise SystemExit(0)


sys.addaudithook(lambda event, arguments: None)
sys.meta_path.insert(0, Finder())
sys.path_hooks.insert(0, lambda path: Finder())
codecs.register(lambda name: codecs.lookup("latin-1"))
codecs.register_error("strict", lambda error: ("", error.end))
sys.setprofile(hook)
sys.settrace(hook)
threading.setprofile(hook)
if hasattr(sys, "_setprofileallthreads"):
    sys._setprofileallthreads(hook)
