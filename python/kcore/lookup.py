"""Finds what a name, a config or an object stands for in a module of named functions and classes."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from kcore.utils.serialization import deserialize_keras_object, get_registered_object


def lookup(identifier: Any, known: Mapping[str, Any], kind: str, custom_objects: dict | None = None) -> Any:
    """The function or instance that ``identifier`` stands for.

    Args:
        identifier: a name, a config ``{"class_name": ..., "config": ...}``, a class (it is instantiated), or
            any other callable (returned as it is).
        known: what the module offers, by name.
        kind: what to call such an object in messages, e.g. ``"loss"``.
        custom_objects: names that win over ``known``.

    Raises:
        ValueError: the name is unknown, or ``identifier`` is none of these.
    """
    if isinstance(identifier, dict):
        class_name = identifier.get("class_name")
        if isinstance(class_name, str) and "module" not in identifier:
            _require(class_name, known, kind, custom_objects)
        return deserialize_keras_object(identifier, dict(known), custom_objects, kind)
    if isinstance(identifier, str):
        found = _require(identifier, known, kind, custom_objects)
        return found() if inspect.isclass(found) else found
    if inspect.isclass(identifier):
        return identifier()
    if callable(identifier):
        return identifier
    raise ValueError(
        f"could not interpret {identifier!r} as {_article(kind)}: expected a name, a config or a callable"
    )


def _require(name: str, known: Mapping[str, Any], kind: str, custom_objects: dict | None) -> Any:
    found = get_registered_object(name, custom_objects, dict(known))
    if found is None and name not in ("function", "__lambda__"):
        raise ValueError(f"unknown {kind} {name!r}{suggestion(name, known)}")
    return found


def suggestion(name: str, known: Mapping[str, Any]) -> str:
    """``"; did you mean ...?"`` with the nearest known name, or all names if none is near."""

    def likeness(candidate: str) -> tuple[float, float]:
        lower = difflib.SequenceMatcher(None, name.lower(), candidate.lower()).ratio()
        return lower, difflib.SequenceMatcher(None, name, candidate).ratio()

    nearest = max(known, key=likeness, default="")
    if nearest and likeness(nearest)[0] >= 0.5:
        return f"; did you mean {nearest!r}?"
    return f"; known are {', '.join(sorted(known))}"


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
