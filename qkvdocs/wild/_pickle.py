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
    """Follow a pickle to the value that it describes.

    Args:
        file: Its name, for messages.
        data: The pickle.

    Returns:
        Dicts, lists, tuples, numbers, texts and None as they are, all else as `Name`, `Made` or `Stored`.

    Raises:
        CheckpointError: If it is cut short, or no pickle.
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
PASSED = {"PROTO", "FRAME"}
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
        if name in PASSED:
            return
        if name in VALUES:
            push(argument)
        elif name in CONSTANTS:
            push(CONSTANTS[name])
        elif name in TUPLES:
            count = TUPLES[name]
            values = tuple([self.pop() for _ in range(count)][::-1])
            push(self.hold(values, values) if values else values)
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            push(self.memo[int(argument)])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = self.stack[-1]
        else:
            getattr(self, f"do_{name.lower()}", self.do_unknown)(argument)

    def do_unknown(self, argument: object) -> None:
        raise _BrokenError("a step that no state dict has")

    def do_mark(self, argument: object) -> None:
        self.stack.append(MARK)

    def do_pop(self, argument: object) -> None:
        self.stack.pop()

    def do_pop_mark(self, argument: object) -> None:
        self.since_mark()

    def do_dup(self, argument: object) -> None:
        self.stack.append(self.stack[-1])

    def do_tuple(self, argument: object) -> None:
        values = tuple(self.since_mark())
        self.stack.append(self.hold(values, values) if values else values)

    def do_empty_list(self, argument: object) -> None:
        self.stack.append(self.hold([]))

    def do_list(self, argument: object) -> None:
        values = self.since_mark()
        self.stack.append(self.hold(values, values))

    def do_append(self, argument: object) -> None:
        value = self.pop()
        self._extend([value])

    def do_appends(self, argument: object) -> None:
        self._extend(self.since_mark())

    def _extend(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.hold(self.stack[-1], values).extend(values)

    def do_empty_dict(self, argument: object) -> None:
        self.stack.append(self.hold({}))

    def do_dict(self, argument: object) -> None:
        values = self.since_mark()
        self.do_empty_dict(argument)
        self._set(values)

    def do_setitem(self, argument: object) -> None:
        value, key = self.pop(), self.pop()
        self._set([key, value])

    def do_setitems(self, argument: object) -> None:
        self._set(self.since_mark())

    def _set(self, values: list[Any]) -> None:
        """Only names count; hashing a nest of tuples could take for ever."""
        held = self.stack[-1]
        if isinstance(held, dict):
            self.hold(held, values[1::2]).update(
                (k, v) for k, v in zip(values[::2], values[1::2], strict=True) if type(k) is str
            )

    def do_empty_set(self, argument: object) -> None:
        self.stack.append(Made(Name("set"), ()))

    def do_additems(self, argument: object) -> None:
        self.since_mark()

    def do_frozenset(self, argument: object) -> None:
        self.since_mark()
        self.do_empty_set(argument)

    def do_global(self, argument: str) -> None:
        self.stack.append(Name(argument.replace(" ", ".", 1)))

    def do_stack_global(self, argument: object) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise _BrokenError("a class whose name is no text")
        self.stack.append(Name(f"{module}.{name}"))

    def do_inst(self, argument: str) -> None:
        self._make(Name(argument.replace(" ", ".", 1)), tuple(self.since_mark()))

    def do_obj(self, argument: object) -> None:
        values = self.since_mark()
        self._make(values[0], tuple(values[1:]))

    def do_reduce(self, argument: object) -> None:
        given, by = self.pop(), self.pop()
        # An ordered dict is told as a call without arguments, whose items follow.
        plain = isinstance(by, Name) and by.text == "collections.OrderedDict" and given in ((), ([],))
        if plain:
            self.do_empty_dict(argument)
        else:
            self._make(by, given)

    def _make(self, by: object, given: object) -> None:
        self.stack.append(self.hold(Made(by, given), (by, *(given if type(given) is tuple else (given,)))))

    def do_newobj(self, argument: object) -> None:
        given, by = self.pop(), self.pop()
        self._make(by, given)

    def do_newobj_ex(self, argument: object) -> None:
        self.pop()
        self.do_newobj(argument)

    def do_build(self, argument: object) -> None:
        """State that would be laid into an object: of a state dict it is versions alone."""
        self.pop()

    def do_binpersid(self, argument: object) -> None:
        told = self.pop()
        self.stack.append(self.hold(Stored(told), (told,)))
