"""Pickles of nothing but lists, dicts, texts, numbers and numpy arrays, read without running a pickle.

CIFAR's batches are pickles, and a pickle is a program: Python's own unpickler calls what it is told to, and numpy's
arrays and types believe any state that is set on them, to the point of a crash of the interpreter. Here the opcodes are
walked one by one (`pickletools.genops`) on a stack of our own. Nothing is imported or called; an array is made
from its bytes once its shape, type and length agree.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import Any

import numpy as np
import numpy.typing as npt

PLAIN_TYPE = re.compile(r"[|<>=]?(b1|[iu][1248])")
MOST_DIMENSIONS = 4
DTYPE, RECONSTRUCT, FROMBUFFER, ENCODE, NDARRAY = "dtype", "_reconstruct", "_frombuffer", "encode", "ndarray"
KNOWN = {
    "numpy": {DTYPE, NDARRAY},
    "_codecs": {ENCODE},
    "numpy.core.multiarray": {RECONSTRUCT},
    "numpy._core.multiarray": {RECONSTRUCT},
    "numpy.core.numeric": {FROMBUFFER},
    "numpy._core.numeric": {FROMBUFFER},
}
"""What a pickle may name: all that an array is stored with."""
CONSTANTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
WRITTEN_BY_PYTHON_2 = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
IGNORED = {"PROTO", "FRAME", "STOP"}
MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_MARK = object()


@dataclass(frozen=True)
class _Name:
    """What a pickle named, which stands for itself."""

    name: str


@dataclass
class _Type:
    """The type of an array, by the short name that numpy has for it."""

    name: str


@dataclass
class Stored:
    """An array of a pickle; None until its state is known."""

    array: npt.NDArray[Any] | None = None


def read_plain(data: bytes) -> Any:
    """What is pickled in `data`: lists, dicts (of text), tuples, numbers, texts, bytes (also what Python 2 wrote as a
    text) and `Stored` arrays of whole numbers.

    Raises UnpicklingError for anything else, and ValueError where it is no pickle.
    """
    machine = _Machine(len(data))
    for opcode, argument, _ in pickletools.genops(data):
        machine.step(opcode.name, argument)
    (value,) = machine.taken(1)
    return value


class _Machine:
    """The stack and the memo of a pickle. The memo is a dict, so that an index is no size, and is bounded all the
    same: a pickle remembers no more than it has bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Follow one opcode."""
        if name in CONSTANTS:
            self.stack.append(argument)
        elif name in WRITTEN_BY_PYTHON_2:
            self.stack.append(argument.encode("latin1"))
        elif name in MADE:
            self.stack.append(MADE[name]())
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._remember(len(self.memo) if name == "MEMOIZE" else argument)
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            if argument not in self.memo:
                raise UnpicklingError(f"it asks for entry {argument} of its memo, which is not there")
            self.stack.append(self.memo[argument])
        elif name not in IGNORED:
            self._gather(name, argument)

    def _gather(self, name: str, argument: Any) -> None:
        if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple(self.taken(int(name[-1]))))
        elif name in ("TUPLE", "LIST"):
            self.stack.append((tuple if name == "TUPLE" else list)(self._since_mark()))
        elif name == "DICT":
            items = self._since_mark()
            self.stack.append({})
            self._set(items)
        elif name in ("APPEND", "APPENDS"):
            items = self.taken(1) if name == "APPEND" else self._since_mark()
            self._top(list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            self._set(self.taken(2) if name == "SETITEM" else self._since_mark())
        elif name == "GLOBAL":
            module, _, named = argument.partition(" ")
            self.stack.append(_known(module, named))
        elif name == "STACK_GLOBAL":
            self.stack.append(_known(*self.taken(2)))
        elif name == "REDUCE":
            self.stack.append(_called(*self.taken(2)))
        elif name == "BUILD":
            whole, state = self.taken(2)
            _set_state(whole, state)
            self.stack.append(whole)
        else:
            raise UnpicklingError(f"it holds the opcode {name}, which no batch has")

    def taken(self, count: int) -> list[Any]:
        """The last entries of the stack, which leave it."""
        if len(self.stack) < count or any(value is _MARK for value in self.stack[-count:]):
            raise UnpicklingError("its stack runs empty")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _since_mark(self) -> list[Any]:
        taken = list[Any]()
        while self.stack:
            value = self.stack.pop()
            if value is _MARK:
                return taken[::-1]
            taken.append(value)
        raise UnpicklingError("it lacks a mark")

    def _remember(self, index: int) -> None:
        if not 0 <= index < self.size:
            raise UnpicklingError(f"it has an entry {index} in its memo, more than its {self.size} bytes")
        (self.memo[index],) = self.taken(1)
        self.stack.append(self.memo[index])

    def _top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise UnpicklingError(f"it adds to a {kind.__name__} where none is")
        return self.stack[-1]

    def _set(self, items: list[Any]) -> None:
        table = self._top(dict)
        if len(items) % 2 or not all(isinstance(key, str | bytes) for key in items[::2]):
            raise UnpicklingError("it has a dict whose keys are not texts")
        table.update(zip(items[::2], items[1::2], strict=True))


def _known(module: Any, name: Any) -> _Name:
    if not (isinstance(module, str) and isinstance(name, str)) or name not in KNOWN.get(module, ()):
        raise UnpicklingError(f"it asks for {_short(module)}.{_short(name)}, which is not data")
    return _Name(name)


def _called(called: Any, arguments: Any) -> Any:
    """What a call of the few known names gives, without one."""
    match called, arguments:
        case _Name("_reconstruct"), tuple():
            return Stored()
        case _Name("dtype"), (str() | bytes() as kind, *_):
            name = kind if isinstance(kind, str) else kind.decode("latin1")
            if not PLAIN_TYPE.fullmatch(name):
                raise UnpicklingError(f"it holds an array of type {_short(name)}")
            return _Type(name)
        case _Name("_frombuffer"), (bytes() | bytearray() as data, _Type() as kind, shape, str() as order):
            return Stored(_array(data, kind, shape, "F" if order == "F" else "C"))
        case _Name("encode"), (str() as text, "latin1"):
            return text.encode("latin1")
    raise UnpicklingError("it calls something that is not data")


def _set_state(whole: Any, state: Any) -> None:
    """The state of an array or its type, which must be plain."""
    match whole, state:
        case _Type(), (
            3,
            "|" | "<" | ">" | "=" | b"|" | b"<" | b">" | b"=" as order,
            None,
            None,
            None,
            -1,
            -1,
            0,
        ):
            whole.name = (order if isinstance(order, str) else order.decode()) + whole.name.lstrip("|<>=")
        case Stored(array=None), (
            int(),
            shape,
            _Type() as kind,
            int() as fortran,
            bytes() | bytearray() as data,
        ):
            whole.array = _array(data, kind, shape, "F" if fortran else "C")
        case _:
            raise UnpicklingError("it sets a state that no plain array has")


def _array(data: bytes | bytearray, kind: _Type, shape: Any, order: Any) -> npt.NDArray[Any]:
    if not isinstance(shape, tuple) or len(shape) > MOST_DIMENSIONS:
        raise UnpicklingError(f"it holds an array whose shape is no list of up to {MOST_DIMENSIONS} numbers")
    dtype = np.dtype(kind.name)
    if not all(type(side) is int and side >= 0 for side in shape):
        raise UnpicklingError("it holds an array whose shape is not of whole numbers")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise UnpicklingError(f"it holds an array of {len(data)} bytes, which is not what its shape says")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _short(value: Any) -> str:
    """A name as far as it is one, for a sentence."""
    return ascii(value)[1:-1][:60] if isinstance(value, str) else f"a {type(value).__name__}"
