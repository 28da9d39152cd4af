"""Decorators that give a function a context or a socket for the length of a call.

Knows    how the argument gets to the function, and which context makes the socket.
Refuses  to know what the arguments of a context or a socket mean: they go there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, TypeVar, cast

from . import Context

__all__ = ["context", "socket"]

_FunctionT = TypeVar("_FunctionT", bound=Callable[..., Any])
_Maker = Callable[..., AbstractContextManager[Any]]


def context(*args: Any, **kwargs: Any) -> Callable[[_FunctionT], _FunctionT]:
    """Give the decorated function a new context, which ends with the call.

    Shape    name: the keyword argument that it becomes, given by name or as a first argument that is a str;
             without one it is the last positional argument. All else goes to Context.
    Raises   TypeError  from the call: the caller gives an argument of that name too.
    """
    return _decorator(lambda *_args, **_kwargs: Context, *_named(args, kwargs))


def socket(*args: Any, **kwargs: Any) -> Callable[[_FunctionT], _FunctionT]:
    """Give the decorated function a new socket, which is closed at the end of the call.

    Shape    name: as for `context`. context_name: the keyword argument of the call that is the socket's
             context ("context"); if it is none, the first positional argument that is one, and else
             `Context.instance()`. All else goes to `Context.socket`, the type first.
    Raises   TypeError  from the call: the caller gives an argument of that name too.
    """
    context_name = kwargs.pop("context_name", "context")

    def maker(*given: Any, **named: Any) -> _Maker:
        owners = [each for each in (named.get(context_name), *given) if isinstance(each, Context)]
        owner: Context[Any] = owners[0] if owners else Context.instance()
        return cast(_Maker, owner.socket)

    return _decorator(maker, *_named(args, kwargs))


def _named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Take the name of the argument out of a decorator's arguments; "" if there is none."""
    if isinstance(kwargs.get("name"), str):
        return kwargs.pop("name"), args, kwargs
    if args and isinstance(args[0], str):
        return args[0], args[1:], kwargs
    return "", args, kwargs


def _decorator(
    maker: Callable[..., _Maker], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[_FunctionT], _FunctionT]:
    """Make the decorator; `maker` says, by the arguments of a call, what makes the object."""

    def decorate(function: _FunctionT) -> _FunctionT:
        @wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            with maker(*given, **named)(*args, **kwargs) as made:
                if not name:
                    return function(*given, made, **named)
                if name in named:
                    raise TypeError(f"{function.__name__}() got multiple values for argument {name!r}")
                return function(*given, **named, **{name: made})

        return cast(_FunctionT, call)

    return decorate
