# The pickle in a file of torch.save, followed without being run: a stack, a memo and plain values. What a class or
# a function would have made is an inert placeholder that remembers what it was called with; nothing is imported,
# looked up or called, whatever the file says.

import pickletools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qkvdocs.errors import CheckpointError

MOST = 5_000_000
"""Steps that are followed, some forty a tensor."""
DEEPEST = 100
"""Values within values; a nest of thousands is more than some machines can take down again."""


@dataclass(frozen=True, eq=False)
class Name:
    """A class or function by its name, not looked up."""

    text: str


@dataclass(frozen=True, eq=False)
class Made:
    """What calling something would have made."""

    by: object
    given: object

    @property
    def name(self) -> str:
        """Name what would have been called."""
        return self.by.text if isinstance(self.by, Name) else "a value"


@dataclass(frozen=True, eq=False)
class Stored:
    """What a persistent id stands for: a storage beside the pickle."""

    told: object


class _BrokenError(Exception):
    """The steps contradict each other."""


def follow(file: str, data: bytes) -> Any:
    """Follow a pickle to the value that it describes; refuse one that is cut short, or none.

    Dicts, lists, tuples, numbers, texts and None come as they are, all else as `Name`, `Made` or `Stored`.
    """
    machine = _Machine()
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if steps > MOST:
                raise _BrokenError(f"more than {MOST} steps")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except _BrokenError as error:
        raise CheckpointError(f"the pickle in {file} must be whole, got {error}") from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError):
        raise CheckpointError(f"the pickle in {file} must be whole, got steps that make no value") from None
    raise CheckpointError(f"the pickle in {file} must end, got none of that")


MARK = object()
VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.deep: dict[int, int] = {}
        self.held: list[Any] = []  # while all live, no two have the same id
        self.inside: set[int] = set()

    def hold(self, value: Any, within: Iterable[Any] = ()) -> Any:
        """Note how deep a value nests others. What stands in one is finished, or its depth would be unknown."""
        nested = [id(one) for one in within if id(one) in self.deep]
        depth = max([self.deep.get(id(value), 1), *(1 + self.deep[one] for one in nested)])
        if depth > DEEPEST or (nested and id(value) in self.inside):
            raise _BrokenError(f"more than {DEEPEST} values within values")
        self.deep[id(value)] = depth
        self.inside.update(nested)
        self.held.append(value)
        return value

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise _BrokenError("a mark in place of a value")
        return value

    def since_mark(self) -> list[Any]:
        found = []
        while (value := self.stack.pop()) is not MARK:
            found.append(value)
        return found[::-1]

    def step(self, name: str, argument: Any) -> None:
        push = self.stack.append
        match name:
            case "PROTO" | "FRAME":
                pass
            case _ if name in VALUES:
                push(argument)
            case _ if name in CONSTANTS:
                push(CONSTANTS[name])
            case _ if name in TUPLES:
                self.push_tuple([self.pop() for _ in range(TUPLES[name])][::-1])
            case "TUPLE":
                self.push_tuple(self.since_mark())
            case "GET" | "BINGET" | "LONG_BINGET":
                push(self.memo[int(argument)])
            case "PUT" | "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = self.stack[-1]
            case "MARK":
                push(MARK)
            case "POP":
                self.stack.pop()
            case "POP_MARK" | "ADDITEMS":
                self.since_mark()
            case "DUP":
                push(self.stack[-1])
            case "EMPTY_LIST":
                push(self.hold([]))
            case "LIST":
                values = self.since_mark()
                push(self.hold(values, values))
            case "APPEND":
                self.extend([self.pop()])
            case "APPENDS":
                self.extend(self.since_mark())
            case "EMPTY_DICT":
                push(self.hold({}))
            case "DICT":
                values = self.since_mark()
                push(self.hold({}))
                self.update(values)
            case "SETITEM":
                value, key = self.pop(), self.pop()
                self.update([key, value])
            case "SETITEMS":
                self.update(self.since_mark())
            case "EMPTY_SET" | "FROZENSET":
                if name == "FROZENSET":
                    self.since_mark()
                push(Made(Name("set"), ()))
            case "GLOBAL":
                push(Name(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                last, module = self.pop(), self.pop()
                if type(last) is not str or type(module) is not str:
                    raise _BrokenError("a class whose name is no text")
                push(Name(f"{module}.{last}"))
            case "INST":
                self.push_call(Name(argument.replace(" ", ".", 1)), tuple(self.since_mark()))
            case "OBJ":
                by, *values = self.since_mark()
                self.push_call(by, tuple(values))
            case "REDUCE" | "NEWOBJ":
                given, by = self.pop(), self.pop()
                # An ordered dict is told as a call without arguments, whose items follow.
                ordered = isinstance(by, Name) and by.text == "collections.OrderedDict"
                if name == "REDUCE" and ordered and given in ((), ([],)):
                    push(self.hold({}))
                else:
                    self.push_call(by, given)
            case "NEWOBJ_EX":
                self.pop()
                self.step("NEWOBJ", None)
            case "BUILD":  # state that would be laid into an object: of a state dict it is versions alone
                self.pop()
            case "BINPERSID":
                told = self.pop()
                push(self.hold(Stored(told), (told,)))
            case _:
                raise _BrokenError("a step that no state dict has")

    def push_tuple(self, values: list[Any]) -> None:
        self.stack.append(self.hold(tuple(values), values) if values else ())

    def extend(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.hold(self.stack[-1], values).extend(values)

    def update(self, values: list[Any]) -> None:
        """Only names count; hashing a nest of tuples could take for ever."""
        held = self.stack[-1]
        if isinstance(held, dict):
            self.hold(held, values[1::2]).update(
                (k, v) for k, v in zip(values[::2], values[1::2], strict=True) if type(k) is str
            )

    def push_call(self, by: object, given: object) -> None:
        self.stack.append(self.hold(Made(by, given), (by, *(given if type(given) is tuple else (given,)))))
