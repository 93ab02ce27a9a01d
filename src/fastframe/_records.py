"""What the codec wants of `typing` and `dataclasses`, for a tenth of the time that importing those takes.

Type checkers are shown the real ones. Who imports them from here says
``if TYPE_CHECKING`` of a name that it sets itself: mypy and others go by the name.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    AnyClass = TypeVar("AnyClass", bound=type[Any])

__all__ = ["NamedTuple", "dataclass", "final"]


def final(cls: AnyClass) -> AnyClass:
    """`typing.final`: of meaning to type checkers alone."""
    return cls


class _MadeOfAnnotations(type):
    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
        if not bases:
            return super().__new__(cls, name, bases, namespace)
        fields: dict[str, str] = namespace["__annotations__"]
        defaults = [namespace.pop(field) for field in fields if field in namespace]
        # mypy wants a literal here.
        make: Any = namedtuple
        made: Any = make(name, fields, defaults=defaults, module=namespace["__module__"])
        made.__new__.__annotations__ = fields
        for key, value in namespace.items():
            setattr(made, key, value)
        return made  # type: ignore[no-any-return]


class NamedTuple(metaclass=_MadeOfAnnotations):
    """`typing.NamedTuple`."""


def _assign(_self: object, name: str, _value: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delete(_self: object, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _values(record: Any) -> tuple[object, ...]:
    return tuple([getattr(record, name) for name in record.__match_args__])


def _equal(self: object, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: object) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    fields = [f"{name}={value!r}" for name, value in zip(self.__match_args__, _values(self), strict=True)]
    return f"{type(self).__qualname__}({', '.join(fields)})"


def _reduce(self: object) -> tuple[type, tuple[object, ...]]:
    return type(self), _values(self)


def _initializer(fields: dict[str, str], defaults: dict[str, object]) -> Callable[..., None]:
    """What dataclasses makes: a signature that tools can show, and no loop over the fields."""
    parameters = [f"{name}={name}" if name in defaults else name for name in fields]
    body = [f" set_field(self, {name!r}, {name})" for name in fields]
    scope = {**defaults, "set_field": object.__setattr__}
    exec(f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(body), scope)
    made: Callable[..., None] = scope["__init__"]  # type: ignore[assignment]
    made.__annotations__ = {**fields, "return": None}
    return made


def dataclass(*, frozen: bool, slots: bool) -> Callable[[type[Any]], type[Any]]:
    """`dataclasses.dataclass`, frozen and with slots only, for classes that derive from nothing."""
    assert frozen and slots
    return _frozen


def _frozen(cls: type[Any]) -> type[Any]:
    fields: dict[str, str] = cls.__annotations__
    namespace = {key: value for key, value in cls.__dict__.items() if key not in ("__dict__", "__weakref__")}
    defaults = {name: namespace.pop(name) for name in fields if name in namespace}
    namespace |= {
        "__slots__": tuple(fields),
        "__match_args__": tuple(fields),
        "__qualname__": cls.__qualname__,
        "__init__": _initializer(fields, defaults),
        "__setattr__": _assign,
        "__delattr__": _delete,
        "__eq__": _equal,
        "__hash__": _hash,
        "__repr__": _repr,
        "__reduce__": _reduce,
    }
    made = type(cls.__name__, (), namespace)
    made.__init__.__qualname__ = f"{cls.__qualname__}.__init__"  # type: ignore[misc]
    return made
