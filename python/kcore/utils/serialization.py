"""Configs of objects and back: custom-object scopes, registration, Keras 2 and Keras 3 dictionaries.

Nothing here imports a module or runs code that a config names: a class or function comes from the caller's
``module_objects``, from ``custom_objects``, a scope, registration, or this package's public names.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib
import inspect
import marshal
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_custom_objects: dict[str, Any] = {}
_registered_names: dict[Any, str] = {}
_scopes = threading.local()
_unsafe_deserialization = False

# The public rooms of this package in which a config's class may be looked for, by Keras's module name.
_PUBLIC_MODULES = (
    "layers",
    "models",
    "activations",
    "initializers",
    "regularizers",
    "constraints",
    "losses",
    "metrics",
    "optimizers",
)


def _scope_stack() -> list[dict[str, Any]]:
    if not hasattr(_scopes, "stack"):
        _scopes.stack = []
    return _scopes.stack


def get_custom_objects() -> dict[str, Any]:
    """The global dictionary of custom names; what is put there is known to every later deserialization."""
    return _custom_objects


class CustomObjectScope:
    """``with CustomObjectScope({"name": object}):`` makes the names known to deserialization in this thread.

    Several dictionaries may be given; later ones win, and inner scopes win over outer ones.
    """

    def __init__(self, *custom_objects: dict[str, Any] | None):
        self.custom_objects: dict[str, Any] = {}
        for names in custom_objects:
            self.custom_objects.update(names or {})

    def __enter__(self):
        _scope_stack().append(self.custom_objects)
        return self

    def __exit__(self, *_):
        _scope_stack().remove(self.custom_objects)


def custom_object_scope(*custom_objects: dict[str, Any] | None) -> CustomObjectScope:
    """See :class:`CustomObjectScope`."""
    return CustomObjectScope(*custom_objects)


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable:
    """Class or function decorator: makes the object known to loading under ``package>name``."""

    def decorator(item):
        registered = f"{package}>{name if name is not None else item.__name__}"
        if inspect.isclass(item) and not hasattr(item, "get_config"):
            raise ValueError(f"Cannot register class {item.__name__}: it has no get_config() method.")
        other = _custom_objects.get(registered)
        if other is not None and other is not item:
            # A module that is imported again (a notebook cell) redefines its classes: the newest counts.
            _registered_names.pop(other, None)
        _custom_objects[registered] = item
        _registered_names[item] = registered
        return item

    return decorator


def get_registered_name(obj) -> str:
    """The name under which an object was registered, else its own ``__name__``."""
    return _registered_names.get(obj, getattr(obj, "__name__", str(obj)))


def get_registered_object(name: str, custom_objects=None, module_objects=None):
    """The object known under a name, or ``None``.

    Looked up in ``custom_objects``, the open scopes, :func:`get_custom_objects` (with or without a
    ``package>`` in front) and ``module_objects``, in this order.
    """
    for names in (custom_objects or {}, *reversed(_scope_stack()), _custom_objects):
        if name in names:
            return names[name]
        if f"Custom>{name}" in names:
            return names[f"Custom>{name}"]
    return (module_objects or {}).get(name)


def enable_unsafe_deserialization() -> None:
    """Lets configs with Python bytecode (``Lambda`` layers of a lambda) be loaded. They can do anything."""
    global _unsafe_deserialization
    _unsafe_deserialization = True


@contextlib.contextmanager
def deserialization_scope(safe_mode: bool) -> Iterator[None]:
    """Inside the ``with`` block, whether configs with Python bytecode are refused."""
    before = getattr(_scopes, "unsafe", False)
    _scopes.unsafe = not safe_mode
    try:
        yield
    finally:
        _scopes.unsafe = before


def _require_unsafe(safe_mode: bool, what: str) -> None:
    if safe_mode and not _unsafe_deserialization and not getattr(_scopes, "unsafe", False):
        raise ValueError(
            f"{what} holds Python bytecode, and loading it would run whatever its author wrote. "
            "It was refused. If you trust where it came from, pass `safe_mode=False` or call "
            "`kcore.utils.enable_unsafe_deserialization()`; better, put the function in `custom_objects`."
        )


def func_dump(func: Callable) -> tuple[str, tuple | None, tuple | None]:
    """A function's bytecode (base64), defaults and closed-over values, for the same Python version."""
    code = base64.b64encode(marshal.dumps(func.__code__)).decode("ascii")
    closure = tuple(cell.cell_contents for cell in func.__closure__) if func.__closure__ else None
    return code, func.__defaults__, closure


def func_load(code, defaults=None, closure=None, globs=None, safe_mode: bool = True) -> Callable:
    """The function that :func:`func_dump` wrote.

    Raises:
        ValueError: ``safe_mode`` is on and unsafe deserialization wasn't enabled.
    """
    _require_unsafe(safe_mode, "This serialized function")
    if isinstance(code, (tuple, list)):
        code, defaults, closure = code
    loaded = marshal.loads(base64.b64decode(code))
    if not isinstance(loaded, types.CodeType):
        raise ValueError(f"A serialized function must hold a code object, got {type(loaded).__name__}.")
    cells = tuple(types.CellType(value) for value in closure) if closure else None
    defaults = tuple(defaults) if defaults is not None else None
    return types.FunctionType(loaded, globals() if globs is None else globs, loaded.co_name, defaults, cells)


def serialize_keras_object(instance):
    """``{"class_name": ..., "config": ...}`` of an object with ``get_config``; a function's name.

    Plain values (None, numbers, strings, lists, dictionaries) are returned with their contents serialized.

    Raises:
        ValueError: the object has neither a config nor a name.
    """
    if instance is None or isinstance(instance, (bool, int, float, str)):
        return instance
    if isinstance(instance, (list, tuple)):
        return [serialize_keras_object(item) for item in instance]
    if isinstance(instance, dict):
        return {key: serialize_keras_object(value) for key, value in instance.items()}
    if isinstance(instance, np.generic):
        return instance.item()
    if isinstance(instance, np.ndarray):
        return {
            "class_name": "__numpy__",
            "config": {"value": instance.tolist(), "dtype": instance.dtype.name},
        }
    if hasattr(instance, "get_config") and not inspect.isclass(instance):
        return {"class_name": get_registered_name(type(instance)), "config": instance.get_config()}
    if hasattr(instance, "__name__"):
        return get_registered_name(instance)
    raise ValueError(f"Cannot serialize {instance!r}: it has neither get_config() nor a name.")


def _public_object(name: str, module: str | None = None):
    """This package's own class or function of that name, for configs that say only ``keras.layers``."""
    rooms: tuple[str, ...] = _PUBLIC_MODULES
    if module is not None:
        rooms = tuple(room for room in _PUBLIC_MODULES if room in module.split(".")) or rooms
    root = __name__.partition(".")[0]
    for room in rooms:
        try:
            namespace = importlib.import_module(f"{root}.{room}")
        except ImportError:
            continue
        found = getattr(namespace, name, None) if not name.startswith("_") else None
        if inspect.isclass(found) or inspect.isfunction(found):
            return found
    return None


_LITERALS: dict[str, Callable[[dict], Any]] = {
    "__tuple__": lambda config: tuple(deserialize_keras_object(item) for item in config.get("items", ())),
    "__numpy__": lambda config: np.array(config["config"]["value"], dtype=config["config"]["dtype"]),
    "__tensor__": lambda config: np.array(config["config"]["value"], dtype=config["config"]["dtype"]),
    "__bytes__": lambda config: str(config["value"]).encode("utf-8"),
    "__ellipsis__": lambda config: Ellipsis,
    "__slice__": lambda config: slice(*(config["config"].get(key) for key in ("start", "stop", "step"))),
}


def deserialize_keras_object(
    identifier,
    module_objects: dict[str, Any] | None = None,
    custom_objects: dict[str, Any] | None = None,
    printable_module_name: str = "object",
    safe_mode: bool = True,
):
    """The object that a config describes.

    Args:
        identifier: a Keras 2 config ``{"class_name", "config"}``, a Keras 3 config with ``"module"`` and
            ``"registered_name"`` too, a name, a function, or a plain value (returned as it is).
        module_objects: names of the caller's module, looked up last.
        custom_objects: names that win over all others.
        printable_module_name: what to call such an object in an error message.
        safe_mode: refuse configs that hold bytecode.

    Raises:
        ValueError: the name is unknown, the config isn't one, or it was refused.
    """
    if identifier is None or callable(identifier) or isinstance(identifier, (bool, int, float)):
        return identifier
    again = functools.partial(
        deserialize_keras_object,
        module_objects=module_objects,
        custom_objects=custom_objects,
        printable_module_name=printable_module_name,
        safe_mode=safe_mode,
    )
    if isinstance(identifier, (list, tuple)):
        return type(identifier)(item if isinstance(item, str) else again(item) for item in identifier)
    if isinstance(identifier, str):
        found = get_registered_object(identifier, custom_objects, module_objects)
        if found is None and module_objects is None:
            found = _public_object(identifier)
        if found is None:
            raise ValueError(_unknown(printable_module_name, identifier))
        return found() if inspect.isclass(found) and hasattr(found, "get_config") else found
    if not isinstance(identifier, dict):
        raise ValueError(f"Could not interpret serialized {printable_module_name}: {identifier!r}")
    if "class_name" not in identifier:
        return {key: again(value) if isinstance(value, dict) else value for key, value in identifier.items()}
    if identifier["class_name"] in _LITERALS:
        return _LITERALS[identifier["class_name"]](identifier)
    if "config" not in identifier:
        raise ValueError(f"Improper config for {printable_module_name}: {identifier!r} has no 'config'.")
    if identifier["class_name"] == "function":  # Keras 3 wraps a function's name so
        return again(identifier["config"])
    return _from_config(identifier, module_objects, custom_objects, printable_module_name, safe_mode)


def _from_config(
    identifier: dict, module_objects, custom_objects, printable_module_name: str, safe_mode: bool
):
    class_name, config = identifier["class_name"], identifier["config"]
    if class_name == "__lambda__":
        _require_unsafe(safe_mode, f"This {printable_module_name}'s config")
        return func_load(config["value"], config.get("defaults"), config.get("closure"), safe_mode=False)
    custom = get_registered_object(identifier.get("registered_name") or class_name, custom_objects)
    cls = custom or get_registered_object(class_name, custom_objects, module_objects)
    if cls is None and (module_objects is None or identifier.get("module")):
        cls = _public_object(class_name, identifier.get("module"))
    if cls is None:
        raise ValueError(_unknown(printable_module_name, class_name))
    if not hasattr(cls, "from_config"):
        # Only what the user named is called with a file's arguments; a module's other contents aren't.
        if cls is not custom:
            raise ValueError(f"{class_name!r} can't be made from a config as {printable_module_name}.")
        with CustomObjectScope(custom_objects):
            return cls(**config)
    if has_arg(cls.from_config, "custom_objects"):
        # The open scopes are passed on too, for classes that hand only this dictionary to their children.
        names: dict[str, Any] = {}
        for scope in (_custom_objects, *_scope_stack(), custom_objects or {}):
            names.update(scope)
        return cls.from_config(config, custom_objects=names)
    with CustomObjectScope(custom_objects):
        return cls.from_config(config)


def _unknown(printable_module_name: str, name: str) -> str:
    return (
        f"Unknown {printable_module_name}: {name!r}. If it is your own, pass it in `custom_objects`, open a "
        "`CustomObjectScope`, or decorate it with `@register_keras_serializable()`."
    )


def has_arg(fn: Callable, name: str, accept_all: bool = False) -> bool:
    """Whether ``fn`` can be called with a keyword ``name``; ``accept_all`` counts ``**kwargs`` as yes."""
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):
        return False
    parameter = parameters.get(name)
    if parameter is None:
        return accept_all and any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
