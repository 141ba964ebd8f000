"""Rows of the products of matrices and tensors."""

import numpy as np
from checks import Case

from kcore import ops

rng = np.random.default_rng(2)


def draw(*shape):
    return rng.uniform(-1, 1, shape)


def product(x1_shape, x2_shape):
    return Case(f"matmul-{x1_shape}-{x2_shape}", ops.matmul, [draw(*x1_shape), draw(*x2_shape)], np.matmul)


def by_letters(subscripts, *shapes):
    return Case(
        f"einsum-{subscripts}-{shapes}",
        lambda *xs: ops.einsum(subscripts, *xs),
        [draw(*s) for s in shapes],
        lambda *xs: np.einsum(subscripts, *xs),
        unknown="..." not in subscripts and all(1 not in s for s in shapes),
    )


def batch_dot(x_shape, y_shape, axes, subscripts):
    def reference(x, y):
        result = np.einsum(subscripts, x, y)
        return result[:, None] if result.ndim == 1 else result

    return Case(
        f"batch_dot-{x_shape}-{y_shape}-{axes}",
        lambda x, y: ops.batch_dot(x, y, axes),
        [draw(*x_shape), draw(*y_shape)],
        reference,
    )


def tensordot(x1_shape, x2_shape, axes):
    return Case(
        f"tensordot-{x1_shape}-{x2_shape}-{axes}",
        lambda a, b: ops.tensordot(a, b, axes),
        [draw(*x1_shape), draw(*x2_shape)],
        lambda a, b: np.tensordot(a, b, axes),
    )


CASES = [
    product((2, 3), (3, 4)),
    product((1, 3), (3, 1)),
    product((3,), (3,)),
    product((3,), (3, 4)),
    product((2, 3), (3,)),
    product((3,), (2, 3, 4)),
    product((2, 5, 2, 3), (3,)),
    product((5, 2, 3), (3, 4)),
    product((2, 3), (5, 3, 4)),
    product((5, 2, 3), (5, 3, 4)),
    product((2, 1, 2, 3), (1, 3, 3, 2)),
    product((2, 1, 2, 3), (4, 3, 2)),
    Case("matmul-integers", ops.matmul, [np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)], np.matmul),
    Case("dot-vectors", ops.dot, [draw(4), draw(4)], np.dot),
    Case("dot-scalar", ops.dot, [draw(), draw(2, 3)], np.dot),
    Case("dot-matrices", ops.dot, [draw(2, 4), draw(4, 3)], np.dot),
    Case("dot-matrix-vector", ops.dot, [draw(2, 4), draw(4)], np.dot),
    Case("dot-vector-matrix", ops.dot, [draw(4), draw(4, 2)], np.dot),
    Case("dot-2-3-axes", ops.dot, [draw(2, 4), draw(3, 4, 2)], np.dot),
    Case("dot-3-3-axes", ops.dot, [draw(2, 3, 4), draw(3, 4, 2)], np.dot),
    Case("dot-3-2-axes", ops.dot, [draw(2, 3, 4), draw(4, 2)], np.dot),
    tensordot((2, 3, 4), (3, 4, 2), 2),
    tensordot((2, 3), (4, 2), 0),
    tensordot((2, 3, 4), (4, 2), 1),
    tensordot((2, 3, 4), (4, 3, 2), ([1, 2], [1, 0])),
    tensordot((2, 3, 4), (5, 3), (1, -1)),
    tensordot((2, 3, 4), (2, 3, 4), ([0, 2, 1], [0, 2, 1])),
    Case("inner-vectors", ops.inner, [draw(4), draw(4)], np.inner),
    Case("inner-matrices", ops.inner, [draw(2, 4), draw(3, 4)], np.inner),
    Case("inner-scalar", ops.inner, [draw(2, 3), draw()], np.inner),
    Case("outer-vectors", ops.outer, [draw(3), draw(4)], np.outer),
    Case("outer-matrices", ops.outer, [draw(2, 2), draw(3)], np.outer),
    Case("vdot-vectors", ops.vdot, [draw(4), draw(4)], np.vdot),
    Case("vdot-matrices", ops.vdot, [draw(2, 3), draw(3, 2)], np.vdot),
    by_letters("ij,jk->ik", (2, 3), (3, 4)),
    by_letters("ij,jk", (2, 3), (3, 4)),
    by_letters("ba,ca", (2, 3), (4, 3)),
    by_letters("ij,kj->ki", (2, 3), (4, 3)),
    by_letters("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
    by_letters("abc,cd->abd", (2, 3, 4), (4, 2)),
    by_letters("BTNH,BSNH->BNTS", (2, 3, 2, 4), (2, 5, 2, 4)),
    by_letters("BNTS,BSNH->BTNH", (2, 2, 3, 5), (2, 5, 2, 4)),
    by_letters("i,i->i", (4,), (4,)),
    by_letters("bi,bi->b", (3, 4), (3, 4)),
    by_letters("i,j->ij", (2,), (3,)),
    by_letters("ij->ji", (2, 3)),
    by_letters("ij->", (2, 3)),
    by_letters("ij->j", (2, 3)),
    by_letters("ii", (3, 3)),
    by_letters("ii->i", (3, 3)),
    by_letters("iji->j", (3, 2, 3)),
    by_letters("ij,ij->", (2, 3), (2, 3)),
    by_letters("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    by_letters("a,ab,abc->abc", (2,), (2, 3), (2, 3, 2)),
    by_letters("ab,bc,ac->", (2, 3), (3, 2), (2, 2)),
    by_letters("ijk,jl->i", (2, 3, 2), (3, 4)),
    by_letters("ij,jk->ik", (2, 1), (3, 4)),
    by_letters("...ij,...jk->...ik", (2, 3, 4), (2, 4, 2)),
    by_letters("...ij,jk->...ik", (2, 1, 3, 4), (4, 2)),
    by_letters("...ij,...jk", (2, 1, 3, 4), (5, 4, 2)),
    by_letters("...->...", (2, 3)),
    by_letters("i...->...", (2, 3)),
    batch_dot((3, 4), (3, 4), None, "bi,bi->b"),
    batch_dot((3, 4), (3, 4), 1, "bi,bi->b"),
    batch_dot((3, 4, 2), (3, 2, 5), None, "bij,bjk->bik"),
    batch_dot((3, 4, 2), (3, 4, 5), 1, "bij,bik->bjk"),
    batch_dot((3, 4, 2), (3, 5, 2), 2, "bij,bkj->bik"),
    batch_dot((3, 4, 2), (3, 4), (1, 1), "bij,bi->bj"),
    batch_dot((3, 4), (3, 2, 4), (1, 2), "bi,bki->bk"),
    batch_dot((3, 2, 4, 2), (3, 5, 4), (-2, -1), "bijk,blj->bikl"),
    batch_dot((3, 4), (3, 2, 4, 2), None, "bk,bjkl->bjl"),
]
