# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: classes in place of functions, whose objects are equal to all, have every hash and hold everything
"""


class Meta(type):
    __eq__ = __ne__ = __contains__ = __instancecheck__ = __subclasscheck__ = lambda *others: True
    __hash__ = lambda cls: 1
    __len__ = lambda cls: 3
    __iter__ = lambda cls: iter([cls()])
    __getitem__ = __getattr__ = __add__ = __radd__ = __sub__ = __rsub__ = lambda cls, *others: cls


class mix(metaclass=Meta):
    __eq__ = __ne__ = __contains__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = lambda *others: True
    __hash__ = lambda self: hash(1)
    __add__ = __radd__ = __iadd__ = lambda self, *others: self
    __sub__ = __rsub__ = __abs__ = __int__ = __index__ = lambda self, *others: 0
    __copy__ = __deepcopy__ = __reversed__ = lambda self, *others: [1, 2, 3]
    __format__ = lambda self, form: "[1, 2, 3]"
    __float__ = lambda self: 0.0
    __len__ = lambda self: 3
    __iter__ = lambda self: iter([mix(), mix(), mix()])

    def __init__(self, *others):
        self.others = others


check = candidate = Mix = List = mix
