"""Triangles and diagonals of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcore.graph import Tensor, composite
from kcore.graph.primitives import reduce_sum, reshape, where
from kcore.ops.indexing import scatter, take
from kcore.ops.movement import moveaxis, ravel
from kcore.ops.operands import integer, normalize_axes, operand

__all__ = ["diag", "diagflat", "diagonal", "trace", "tril", "triu"]


@composite(deferred=True, infer=lambda x, *, k, lower: (x.shape, x.dtype))
def _triangle(x: Any, *, k: int, lower: bool) -> Any:
    kept = np.tri(x.shape[-2], x.shape[-1], k if lower else k - 1, dtype=bool)
    return where(kept if lower else ~kept, x, np.zeros((), str(x.dtype)))


def _matrix(x: Any, op: str) -> Any:
    x = operand(x)
    if len(x.shape) < 2:
        raise ValueError(f"{op}: needs matrices, got shape {tuple(x.shape)}")
    return x


def tril(x: Any, k: int = 0) -> Any:
    """Matrices with zeros above the ``k``-th diagonal."""
    return _triangle(_matrix(x, "tril"), k=integer(k, "tril: k"), lower=True)


def triu(x: Any, k: int = 0) -> Any:
    """Matrices with zeros below the ``k``-th diagonal."""
    return _triangle(_matrix(x, "triu"), k=integer(k, "triu: k"), lower=False)


def _diagonal_extent(rows: int | None, columns: int | None, k: int) -> int | None:
    if rows is None or columns is None:
        return None
    return max(0, min(rows + min(k, 0), columns - max(k, 0)))


def _infer_diagonal(x: Tensor, *, k: int) -> tuple:
    return (*x.shape[:-2], _diagonal_extent(x.shape[-2], x.shape[-1], k)), x.dtype  # type: ignore[misc]


@composite(deferred=True, infer=_infer_diagonal)
def _diagonal(x: Any, *, k: int) -> Any:
    rows, columns = x.shape[-2:]
    extent = _diagonal_extent(rows, columns, k) or 0
    places = (np.arange(extent) + max(-k, 0)) * columns + np.arange(extent) + max(k, 0)
    return take(reshape(x, (*x.shape[:-2], rows * columns)), places.astype("int32"), -1)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The ``offset``-th diagonals of the matrices along two axes, as the last axis of the result."""
    x = _matrix(x, "diagonal")
    first, second = normalize_axes((axis1, axis2), len(x.shape), "diagonal")
    return _diagonal(moveaxis(x, (first, second), (-2, -1)), k=integer(offset, "diagonal: offset"))


def _infer_diag(x: Tensor, *, k: int) -> tuple:
    n = None if x.shape[0] is None else x.shape[0] + abs(k)
    return (n, n), x.dtype


@composite(deferred=True, infer=_infer_diag)
def _diag(x: Any, *, k: int) -> Any:
    n = x.shape[0] + abs(k)
    places = (np.arange(x.shape[0]) + max(-k, 0)) * n + np.arange(x.shape[0]) + max(k, 0)
    return reshape(scatter(places.astype("int32")[:, None], x, (n * n,)), (n, n))


def diag(x: Any, k: int = 0) -> Any:
    """A matrix with the vector ``x`` on its ``k``-th diagonal; or the ``k``-th diagonal of a matrix."""
    x = operand(x)
    if len(x.shape) == 2:
        return _diagonal(x, k=integer(k, "diag: k"))
    if len(x.shape) != 1:
        raise ValueError(f"diag: needs a vector or a matrix, got shape {tuple(x.shape)}")
    return _diag(x, k=integer(k, "diag: k"))


def diagflat(x: Any, k: int = 0) -> Any:
    """A matrix with the elements of ``x`` on its ``k``-th diagonal."""
    return _diag(ravel(operand(x)), k=integer(k, "diagflat: k"))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sums of the ``offset``-th diagonals of the matrices along two axes."""
    on_diagonal = diagonal(x, offset, axis1, axis2)
    return reduce_sum(on_diagonal, axes=(len(on_diagonal.shape) - 1,))
