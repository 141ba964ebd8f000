"""Products of matrices and tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcore.graph import Tensor, as_tensor, broadcast_shapes, composite, dtypes, primitive, sum_to_shape
from kcore.graph.primitives import cast, multiply, reduce_sum, reshape, transpose

__all__ = ["batch_dot", "dot", "einsum", "inner", "matmul", "outer", "tensordot", "vdot"]

Labels = tuple[int, ...]


def _promoted(*values: Any) -> list[Any]:
    """All as tensors, or all as arrays, of one dtype that has a product."""
    strong = [x.dtype for x in values if isinstance(x, Tensor)]
    dtype = dtypes.common(strong, [x for x in values if not isinstance(x, Tensor)])
    if strong:
        return [cast(as_tensor(x, None if isinstance(x, Tensor) else dtype), dtype) for x in values]
    return [dtypes.as_array(x, dtype) for x in values]


def _infer_matmul(a: Tensor, b: Tensor, *, transpose_a: bool, transpose_b: bool) -> tuple:
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError(f"matmul: got tensors of shapes {a.shape} and {b.shape}")
    m, k = a.shape[-2:] if not transpose_a else a.shape[:-3:-1]
    k2, n = b.shape[-2:] if not transpose_b else b.shape[:-3:-1]
    if k is not None and k2 is not None and k != k2:
        raise ValueError(f"matmul: the inner extents of shapes {a.shape} and {b.shape} differ: {k} and {k2}")
    return (*broadcast_shapes(a.shape[:-2], b.shape[:-2]), m, n), a.dtype


def _matmul_gradient(
    y: Tensor, dy: Tensor, a: Tensor, b: Tensor, *, transpose_a: bool, transpose_b: bool
) -> tuple[Tensor, Tensor]:
    rows, cols = a, dy
    if b.ndim == 2 and not transpose_a:
        # One b for the whole batch: the sum over the batch is part of one product.
        rows = reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))  # type: ignore[arg-type]
        cols = reshape(dy, (math.prod(dy.shape[:-1]), dy.shape[-1]))  # type: ignore[arg-type]
    if transpose_a:
        da = _matmul(b, dy, transpose_a=transpose_b, transpose_b=True)
    else:
        da = _matmul(dy, b, transpose_a=False, transpose_b=not transpose_b)
    if transpose_b:
        db = _matmul(cols, rows, transpose_a=True, transpose_b=transpose_a)
    else:
        db = _matmul(rows, cols, transpose_a=not transpose_a, transpose_b=False)
    return sum_to_shape(da, a.shape), sum_to_shape(db, b.shape)  # type: ignore[arg-type]


_matmul = primitive("matmul", infer=_infer_matmul, gradient=_matmul_gradient)


def _product(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    """``_matmul`` for any dtype: narrow integers are multiplied as int32, which wraps around alike."""
    dtype = str(a.dtype)
    if dtype in ("bool", "uint8"):
        return cast(_product(cast(a, "int32"), cast(b, "int32"), transpose_a, transpose_b), dtype)
    return _matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


def matmul(x1: Any, x2: Any) -> Any:
    """The matrix product, as ``numpy.matmul``.

    Args:
        x1: of shape ``(..., m, k)`` or ``(k,)``.
        x2: of shape ``(..., k, n)`` or ``(k,)``; leading axes broadcast.

    Returns:
        Shape ``(..., m, n)``, without ``m`` or ``n`` where that operand has one axis.

    Raises:
        ValueError: if an operand is a scalar or extents differ.
    """
    x1, x2 = _promoted(x1, x2)
    if x1.ndim == 0 or x2.ndim == 0:
        raise ValueError(f"matmul takes no scalars, got shapes {x1.shape} and {x2.shape}")
    if x1.ndim > 1 and x2.ndim > 1:
        return _product(x1, x2)
    batch = tuple(range(2, max(x1.ndim, x2.ndim)))
    labels1 = (*batch, 1, 0)[-x1.ndim :] if x1.ndim > 1 else (0,)
    labels2 = (*batch, 0, -1)[-x2.ndim :] if x2.ndim > 1 else (0,)
    out = tuple(label for label in (*labels1, *labels2) if label != 0)
    return _pairwise(x1, labels1, x2, labels2, out)


def dot(x1: Any, x2: Any) -> Any:
    """The sum over the last axis of ``x1`` and the last but one (or only) of ``x2``, as ``numpy.dot``.

    Returns:
        Shape ``x1.shape[:-1] + x2.shape[:-2] + x2.shape[-1:]``; the product if an operand is a scalar.

    Raises:
        ValueError: if the extents of the summed axes differ.
    """
    x1, x2 = _promoted(x1, x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return multiply(x1, x2)
    if x1.ndim > 1 and x2.ndim == 2:
        return _product(x1, x2)
    return tensordot(x1, x2, ([-1], [-1 if x2.ndim == 1 else -2]))


def tensordot(x1: Any, x2: Any, axes: int | Sequence = 2) -> Any:
    """The sum of products over the given axes, as ``numpy.tensordot``.

    Args:
        axes: a number of axes (the last of ``x1``, the first of ``x2``), or a pair of axes or of lists of
            axes, the first of ``x1`` and the second of ``x2``.

    Returns:
        The remaining axes of ``x1``, then those of ``x2``.

    Raises:
        ValueError: if the axes don't exist or their extents differ.
    """
    x1, x2 = _promoted(x1, x2)
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= min(x1.ndim, x2.ndim):
            raise ValueError(f"tensordot: shapes {x1.shape} and {x2.shape} do not both have {axes} axes")
        axes = (range(x1.ndim - axes, x1.ndim), range(axes))
    of1, of2 = (_axes(a, x.ndim) for a, x in zip(axes, (x1, x2), strict=True))
    if len(of1) != len(of2):
        raise ValueError(f"tensordot: {len(of1)} axes of x1 but {len(of2)} of x2 to sum over")
    labels1 = tuple(range(x1.ndim))
    labels2 = tuple(of1[of2.index(i)] if i in of2 else x1.ndim + i for i in range(x2.ndim))
    out = tuple(label for label in (*labels1, *labels2) if label not in of1)
    return _pairwise(x1, labels1, x2, labels2, out)


def _axes(axes: Any, ndim: int) -> list[int]:
    axes = [int(a) for a in np.atleast_1d(np.asarray(list(axes) if isinstance(axes, range) else axes, int))]
    if any(not -ndim <= a < ndim for a in axes):
        raise ValueError(f"axes {axes} do not all exist in a tensor of {ndim} axes")
    axes = [a % ndim for a in axes]
    if len(set(axes)) < len(axes):
        raise ValueError(f"axes {axes} are not distinct")
    return axes


def inner(x1: Any, x2: Any) -> Any:
    """The sum of products over the last axis of both, as ``numpy.inner``.

    Returns:
        Shape ``x1.shape[:-1] + x2.shape[:-1]``; the product if an operand is a scalar.
    """
    x1, x2 = _promoted(x1, x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return multiply(x1, x2)
    return tensordot(x1, x2, ([-1], [-1]))


def outer(x1: Any, x2: Any) -> Any:
    """The products of every element of ``x1`` and every one of ``x2``: shape ``(x1.size, x2.size)``."""
    x1, x2 = _promoted(x1, x2)
    return multiply(reshape(x1, (-1, 1)), reshape(x2, (1, -1)))


def vdot(x1: Any, x2: Any) -> Any:
    """The sum of products of the elements of two tensors of as many elements, whatever their shapes."""
    x1, x2 = _promoted(x1, x2)
    return _pairwise(reshape(x1, (-1,)), (0,), reshape(x2, (-1,)), (0,), ())


def batch_dot(x: Any, y: Any, axes: int | Sequence[int] | None = None) -> Any:
    """The sum of products over one axis, sample by sample, as ``K.batch_dot`` of Keras 2.3.

    Args:
        x, y: at least two axes, the first of which is the batch.
        axes: the axis of both, or of each, to sum over; by default the last of ``x``, and of ``y`` the
            last but one (the last if ``y`` has two axes).

    Returns:
        The batch, the remaining axes of ``x``, then those of ``y``; shape ``(batch, 1)`` if none remain.

    Raises:
        ValueError: if an operand has fewer than two axes, an axis is the batch, or extents differ.
    """
    x, y = _promoted(x, y)
    if x.ndim < 2 or y.ndim < 2:
        raise ValueError(f"batch_dot takes tensors of at least two axes, got shapes {x.shape} and {y.shape}")
    if axes is None:
        axes = (x.ndim - 1, y.ndim - 1 if y.ndim == 2 else y.ndim - 2)
    elif isinstance(axes, (int, np.integer)):
        axes = (axes, axes)
    if any(not isinstance(a, (int, np.integer)) for a in axes):
        raise ValueError(f"batch_dot sums over one axis of each tensor, got axes={axes}")
    ((of_x,), (of_y,)) = (_axes(a, t.ndim) for a, t in zip(axes, (x, y), strict=True))
    if of_x == 0 or of_y == 0:
        raise ValueError(f"batch_dot cannot sum over axis 0, the batch: got axes={tuple(axes)}")
    labels_x = tuple(range(x.ndim))
    labels_y = (0, *(of_x if i == of_y else x.ndim + i for i in range(1, y.ndim)))
    out = (0, *(label for label in (*labels_x, *labels_y) if label not in (0, of_x)))
    result = _pairwise(x, labels_x, y, labels_y, out)
    return reshape(result, (-1, 1)) if len(out) == 1 else result


def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Any:
    """Sums of products in Einstein's notation, as ``numpy.einsum``: ``einsum("bij,bjk->bik", x, y)``.

    Args:
        subscripts: a letter an axis, operands separated by commas, the result after ``->`` (without it: the
            letters that occur once, in alphabetical order). ``...`` stands for axes that broadcast.
        operands: as many tensors as there are subscripts.

    Raises:
        ValueError: if the subscripts are malformed or don't fit the operands.
    """
    if kwargs.keys() - {"optimize"}:
        raise TypeError(f"einsum: unknown arguments {sorted(kwargs.keys() - {'optimize'})}")
    values = _promoted(*operands)
    labels, out = _parse(subscripts, [x.ndim for x in values])
    return _contraction(*values, labels=labels, out=out)


def _parse(subscripts: str, ndims: Sequence[int]) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of the axes of every operand and of the result; those of an ellipsis are negative."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: '{subscripts}' describes {len(terms)} operands, got {len(ndims)}")

    def letters(term: str, ellipsis: int) -> Labels:
        before, dots, after = term.partition("...")
        if not all(c.isalpha() for c in before + after):
            raise ValueError(f"einsum: '{term}' in '{subscripts}' is not made of letters and one '...'")
        middle = range(-ellipsis, 0) if dots else ()
        return (*map(ord, before), *middle, *map(ord, after))

    labels = []
    for term, ndim in zip(terms, ndims, strict=True):
        covered = ndim - len(term.replace("...", ""))
        if covered < 0 or (covered and "..." not in term):
            raise ValueError(f"einsum: '{term}' in '{subscripts}' does not fit a tensor of {ndim} axes")
        labels.append(letters(term, covered))
    everything = [label for axes in labels for label in axes]
    longest = -min(everything, default=0) if min(everything, default=0) < 0 else 0
    if arrow:
        out = letters(output, longest)
        if len(set(out)) < len(out) or set(out) - set(everything):
            raise ValueError(f"einsum: the result '{output}' repeats a letter or has one that no operand has")
    else:
        once = sorted(label for label in set(everything) if label > 0 and everything.count(label) == 1)
        out = (*range(-longest, 0), *once)
    return tuple(labels), out


def _extents(shapes: Sequence[tuple], labels: Sequence[Labels]) -> dict[int, int | None]:
    """The extent of every label; one of 1 broadcasts. Raises ``ValueError`` where two differ."""
    extents: dict[int, int | None] = {}
    for shape, axes in zip(shapes, labels, strict=True):
        for label, extent in zip(axes, shape, strict=True):
            known = extents.get(label, 1)
            if known == 1 or (known is None and extent not in (1, None)):
                extents[label] = extent
            elif extent not in (1, None, known):
                described = ", ".join(map(str, shapes))
                raise ValueError(f"the extents {known} and {extent} of shapes {described} do not fit")
    return extents


def _pairwise(x: Any, of_x: Labels, y: Any, of_y: Labels, out: Labels) -> Any:
    """The contraction of two tensors whose extents must agree exactly."""
    for label in set(of_x) & set(of_y):
        m, n = x.shape[of_x.index(label)], y.shape[of_y.index(label)]
        if m is not None and n is not None and m != n:
            raise ValueError(f"the extents {m} and {n} of shapes {x.shape} and {y.shape} do not fit")
    return _contraction(x, y, labels=(of_x, of_y), out=out)


def _infer_contraction(*operands: Tensor, labels: tuple[Labels, ...], out: Labels) -> tuple:
    extents = _extents([x.shape for x in operands], labels)
    return tuple(extents[label] for label in out), operands[0].dtype


@composite(deferred=True, infer=_infer_contraction)
def _contraction(*operands: Any, labels: tuple[Labels, ...], out: Labels) -> Any:
    """The sum of products over every label that isn't in ``out``. Tensors of one dtype, or arrays."""
    extents = _extents([x.shape for x in operands], labels)
    terms = [_distinct(x, axes, extents) for x, axes in zip(operands, labels, strict=True)]
    while len(terms) > 1:
        i, j = _cheapest_pair([axes for _, axes in terms], out, extents)  # type: ignore[arg-type]
        (y, of_y), (x, of_x) = terms.pop(j), terms.pop(i)
        needed = {*out, *(label for _, axes in terms for label in axes)}
        x, of_x = _sum_out(x, of_x, needed | set(of_y))
        y, of_y = _sum_out(y, of_y, needed | set(of_x))
        terms.append(_pair(x, of_x, y, of_y, needed))
    ((x, axes),) = terms
    x, axes = _sum_out(x, axes, set(out))
    x = _permuted(x, axes, tuple(label for label in out if label in axes))
    return reshape(x, tuple(extents[label] for label in out))


def _distinct(x: Any, axes: Labels, extents: dict) -> tuple[Any, Labels]:
    """Without the axes of extent 1 that broadcast, and with the diagonal of axes of one label."""
    kept = [i for i, label in enumerate(axes) if x.shape[i] == extents[label]]
    x, axes = reshape(x, tuple(x.shape[i] for i in kept)), tuple(axes[i] for i in kept)
    for label in set(axes):
        while axes.count(label) > 1:
            first = axes.index(label)
            second = axes.index(label, first + 1)
            shape = [extents[label] if i in (first, second) else 1 for i in range(len(axes))]
            x = multiply(x, np.eye(extents[label], dtype=str(x.dtype)).reshape(shape))
            x = _summed(x, (second,))
            axes = (*axes[:second], *axes[second + 1 :])
    return x, axes


def _summed(x: Any, axes: tuple[int, ...]) -> Any:
    if not axes:
        return x
    return reduce_sum(x, axes=axes) if isinstance(x, Tensor) else x.sum(axes, dtype=x.dtype)


def _sum_out(x: Any, axes: Labels, needed: set[int]) -> tuple[Any, Labels]:
    done = tuple(i for i, label in enumerate(axes) if label not in needed)
    return _summed(x, done), tuple(label for label in axes if label in needed)


def _permuted(x: Any, axes: Labels, wanted: Labels) -> Any:
    return x if axes == wanted else transpose(x, perm=tuple(axes.index(label) for label in wanted))


def _cheapest_pair(terms: list[Labels], out: Labels, extents: dict[int, int]) -> tuple[int, int]:
    """The two terms whose product has the fewest multiplications; the first of those."""
    pairs = [(i, j) for j in range(len(terms)) for i in range(j)]
    return min(pairs, key=lambda p: math.prod(extents[label] for label in {*terms[p[0]], *terms[p[1]]}))


def _pair(x: Any, of_x: Labels, y: Any, of_y: Labels, needed: set[int]) -> tuple[Any, Labels]:
    """The product of two terms, summed over the labels that both have and nothing else needs."""
    batch = tuple(label for label in of_x if label in of_y and label in needed)
    summed = tuple(label for label in of_x if label in of_y and label not in needed)
    left = tuple(label for label in of_x if label not in of_y)
    right = tuple(label for label in of_y if label not in of_x)
    extents = {**dict(zip(of_x, x.shape, strict=True)), **dict(zip(of_y, y.shape, strict=True))}

    def sizes(*groups: Labels) -> tuple[int, ...]:
        return tuple(math.prod(extents[label] for label in group) for group in groups)

    def matrix(t: Any, axes: Labels, rows: Labels, cols: Labels) -> tuple[Any, bool]:
        """``t`` as (batch, rows, cols), or as its transpose if that lies so in memory."""
        flipped = axes == (*batch, *cols, *rows) and axes != (*batch, *rows, *cols)
        if flipped:
            rows, cols = cols, rows
        return reshape(_permuted(t, axes, (*batch, *rows, *cols)), sizes(batch, rows, cols)), flipped

    shape = tuple(extents[label] for label in (*batch, *left, *right))
    if not summed:
        a = reshape(_permuted(x, of_x, (*batch, *left)), (*sizes(batch, left), 1))
        b = reshape(_permuted(y, of_y, (*batch, *right)), (sizes(batch)[0], 1, sizes(right)[0]))
        result = multiply(a, b)
    else:
        a, flip_a = matrix(x, of_x, left, summed)
        b, flip_b = matrix(y, of_y, summed, right)
        if not batch:
            a, b = reshape(a, a.shape[1:]), reshape(b, b.shape[1:])
        result = _product(a, b, flip_a, flip_b)
    return reshape(result, shape), (*batch, *left, *right)


Tensor.define_operators(matmul=matmul)
