"""Rows of the ops that move elements."""

import numpy as np
from checks import Case

from kcore import ops

rng = np.random.default_rng(3)


def draw(*shape):
    return rng.uniform(-1, 1, shape)


x = draw(3, 4, 5)
image = draw(2, 4, 6, 8)


def same(name, op, reference, *inputs, **kwargs):
    """A row whose op and NumPy function take the same arguments."""
    return Case(name, lambda *xs: op(*xs, **kwargs), list(inputs), lambda *xs: reference(*xs, **kwargs))


CASES = [
    same("transpose", ops.transpose, np.transpose, x),
    same("transpose-axes", ops.transpose, np.transpose, x, axes=(1, -1, 0)),
    same("transpose-scalar", ops.transpose, np.transpose, draw()),
    same("moveaxis", ops.moveaxis, np.moveaxis, x, source=0, destination=-1),
    same("moveaxis-several", ops.moveaxis, np.moveaxis, image, source=(0, 3), destination=(2, 1)),
    same("swapaxes", ops.swapaxes, np.swapaxes, x, axis1=0, axis2=-1),
    same("ravel", ops.ravel, np.ravel, x),
    same("expand_dims", ops.expand_dims, np.expand_dims, x, axis=1),
    same("expand_dims-last", ops.expand_dims, np.expand_dims, x, axis=-1),
    same("expand_dims-several", ops.expand_dims, np.expand_dims, x, axis=(0, -2)),
    same("squeeze-axis", ops.squeeze, np.squeeze, draw(3, 1, 2, 1), axis=1),
    same("squeeze-axes", ops.squeeze, np.squeeze, draw(3, 1, 2, 1), axis=(1, -1)),
    Case("squeeze-all", ops.squeeze, [draw(3, 1, 2, 1)], np.squeeze, unknown=False),
    same("broadcast_to", ops.broadcast_to, np.broadcast_to, draw(3, 1), shape=(2, 3, 4)),
    Case("slice", lambda x: ops.slice(x, (1, 0, 2), (2, 4, 3)), [x], lambda x: x[1:3, :4, 2:5]),
    Case("slice-rest", lambda x: ops.slice(x, (1, 0, 2), (-1, 2, -1)), [x], lambda x: x[1:, :2, 2:]),
    Case(
        "slice-dynamic",
        lambda x, start: ops.slice(x, start, (2, 4, 2)),
        [x, np.array([1, 0, 9], "int32")],
        lambda x, start: x[1:3, :4, 3:5],
    ),
    same("split", ops.split, np.split, x, indices_or_sections=2, axis=1),
    same("split-places", ops.split, np.split, x, indices_or_sections=[1, 3], axis=2),
    same("split-places-beyond", ops.split, np.split, x, indices_or_sections=[2, 2, 9], axis=1),
    Case(
        "array_split",
        lambda x: ops.array_split(x, 3, 2),
        [x],
        lambda x: np.array_split(x, 3, 2),
        unknown=False,
    ),
    same("hsplit", ops.hsplit, np.hsplit, x, indices_or_sections=4),
    same("vsplit", ops.vsplit, np.vsplit, x, indices_or_sections=3),
    same("dsplit", ops.dsplit, np.dsplit, x, indices_or_sections=5),
    Case("unstack", lambda x: ops.unstack(x, 4, 1), [x], lambda x: list(np.moveaxis(x, 1, 0))),
    Case(
        "concatenate",
        lambda *xs: ops.concatenate(xs, -1),
        [draw(2, 3), draw(2, 1), draw(2, 4)],
        lambda *xs: np.concatenate(xs, -1),
    ),
    Case(
        "concatenate-raveled",
        lambda *xs: ops.concatenate(xs, None),
        [draw(2, 3), draw(2)],
        lambda *xs: np.concatenate(xs, None),
    ),
    Case(
        "concatenate-mixed",
        lambda *xs: ops.concatenate(xs),
        [draw(2, 3), np.arange(3)[None]],
        lambda *xs: np.concatenate(xs),
    ),
    Case("stack", lambda *xs: ops.stack(xs, 1), [draw(2, 3), draw(2, 3)], lambda *xs: np.stack(xs, 1)),
    Case("stack-scalars", lambda *xs: ops.stack(xs), [draw(), draw()], lambda *xs: np.stack(xs)),
    same("append", ops.append, np.append, draw(2, 3), draw(1, 3), axis=0),
    same("append-raveled", ops.append, np.append, draw(2, 3), draw(2)),
    Case("hstack", lambda *xs: ops.hstack(xs), [draw(2, 3), draw(2, 1)], lambda *xs: np.hstack(xs)),
    Case("hstack-vectors", lambda *xs: ops.hstack(xs), [draw(2), draw(3)], lambda *xs: np.hstack(xs)),
    Case("vstack", lambda *xs: ops.vstack(xs), [draw(3), draw(2, 3)], lambda *xs: np.vstack(xs)),
    Case("dstack", lambda *xs: ops.dstack(xs), [draw(3), draw(3)], lambda *xs: np.dstack(xs)),
    Case("dstack-matrices", lambda *xs: ops.dstack(xs), [draw(3, 2), draw(3, 2)], lambda *xs: np.dstack(xs)),
    same("flip", ops.flip, np.flip, x),
    same("flip-axes", ops.flip, np.flip, x, axis=(0, -1)),
    same("fliplr", ops.fliplr, np.fliplr, x),
    same("flipud", ops.flipud, np.flipud, x),
    *(same(f"rot90-{k}", ops.rot90, np.rot90, x, k=k, axes=(0, 2)) for k in range(-1, 4)),
    Case("tile", lambda x: ops.tile(x, (2, 1, 3)), [x], lambda x: np.tile(x, (2, 1, 3))),
    Case("tile-fewer", lambda x: ops.tile(x, 2), [x], lambda x: np.tile(x, 2)),
    Case("tile-more", lambda x: ops.tile(x, (2, 3, 2)), [draw(2, 3)], lambda x: np.tile(x, (2, 3, 2))),
    same("repeat", ops.repeat, np.repeat, x, repeats=3, axis=1),
    same("repeat-raveled", ops.repeat, np.repeat, x, repeats=2),
    same("repeat-each", ops.repeat, np.repeat, x, repeats=[2, 0, 1, 3], axis=1),
    same("roll", ops.roll, np.roll, x, shift=2, axis=1),
    same("roll-back", ops.roll, np.roll, x, shift=-7, axis=-1),
    same("roll-axes", ops.roll, np.roll, x, shift=(1, 2), axis=(0, 2)),
    same("roll-raveled", ops.roll, np.roll, x, shift=3),
    same("pad", ops.pad, np.pad, x, pad_width=((1, 0), (0, 0), (2, 3))),
    same("pad-value", ops.pad, np.pad, x, pad_width=1, mode="constant", constant_values=1.5),
    *(
        same(f"pad-{mode}", ops.pad, np.pad, x, pad_width=((1, 2), (0, 0), (4, 3)), mode=mode)
        for mode in ("reflect", "symmetric", "edge", "wrap")
    ),
    Case(
        "depth_to_space",
        lambda x: ops.depth_to_space(x, 2),
        [image],
        lambda x: x.reshape(2, 4, 6, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(2, 8, 12, 2),
    ),
    Case(
        "space_to_depth",
        lambda x: ops.space_to_depth(x, 2),
        [image],
        lambda x: x.reshape(2, 2, 2, 3, 2, 8).transpose(0, 1, 3, 2, 4, 5).reshape(2, 2, 3, 32),
    ),
    Case(
        "space_to_depth-channels_first",
        lambda x: ops.space_to_depth(x, 2, "channels_first"),
        [image],
        lambda x: x.reshape(2, 4, 3, 2, 4, 2).transpose(0, 3, 5, 1, 2, 4).reshape(2, 16, 3, 4),
    ),
]
