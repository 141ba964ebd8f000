"""Rows of kernels.py for what memory limits: movement, indexing, pooling, normalisation.

The first row, a plain copy, is what the others' GB/s stand against.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

F = "float32"


def _movement(quick: bool, row, program, torch) -> Iterator:
    rng = np.random.default_rng(0)
    n = 1000 if quick else 1 << 24
    x = rng.standard_normal(n, F)
    peers = {"numpy": partial(np.copyto, np.empty_like(x), x)}
    yield row("copy", program("reshape", [x], [(x.shape, F)]), peers, bytes=8.0 * n)
    shapes = (
        [((512, 512), (1, 0))]
        if quick
        else [
            ((4096, 4096), (1, 0)),
            ((4095, 4097), (1, 0)),
            ((32, 56, 56, 64), (0, 3, 1, 2)),
            ((32, 64, 56, 56), (0, 2, 3, 1)),
            ((32, 224, 224, 3), (0, 3, 1, 2)),
            ((32, 128, 12, 64), (0, 2, 1, 3)),
        ]
    )
    for shape, perm in shapes:
        x = rng.standard_normal(shape, F)
        out = tuple(shape[p] for p in perm)
        peers = {}
        if torch is not None:
            a, b = torch.from_numpy(x), torch.empty(out)
            peers["torch"] = lambda a=a, b=b, perm=perm: b.copy_(a.permute(perm))
        yield row(
            f"transpose {'x'.join(map(str, shape))} {''.join(map(str, perm))}",
            program("transpose", [x], [(out, F)], perm=list(perm)),
            peers,
            bytes=2.0 * x.nbytes,
        )


def _embedding(quick: bool, row, program, torch) -> Iterator:
    rng = np.random.default_rng(0)
    for words, width, count in [(50, 8, 20)] if quick else [(20000, 128, 6400), (2000, 16, 6400)]:
        table, dy = rng.standard_normal((words, width), F), rng.standard_normal((count, width), F)
        indices = rng.integers(0, words, count)
        peers, back = {}, {}
        if torch is not None:
            t, i, g = torch.from_numpy(table), torch.from_numpy(indices), torch.from_numpy(dy)
            peers["torch"] = lambda t=t, i=i: torch.nn.functional.embedding(i, t)
            back["torch"] = lambda t=t, i=i, g=g: torch.zeros_like(t).index_add_(0, i, g)
        name = f"{words}x{width}, {count} words"
        yield row(
            f"embedding {name}",
            program("gather", [table, indices], [(dy.shape, F)], axis=0),
            peers,
            bytes=2.0 * dy.nbytes,
        )
        yield row(
            f"embedding gradient {name}",
            program("scatter_add", [indices, dy], [(table.shape, F)], axis=0),
            back,
            flops=dy.size,
            bytes=1.0 * dy.nbytes + table.nbytes,
        )


def _pooling(quick: bool, row, program, torch) -> Iterator:
    rng = np.random.default_rng(0)
    shapes = (
        [(2, 8, 8, 5, 2, 2, 0)]
        if quick
        else [
            (32, 112, 112, 64, 2, 2, 0),
            (32, 112, 112, 64, 3, 2, 1),
            (128, 26, 26, 32, 2, 2, 0),
        ]
    )
    for n, h, w, c, pool, stride, pad in shapes:
        x = rng.standard_normal((n, h, w, c), F)
        out = (n, (h + 2 * pad - pool) // stride + 1, (w + 2 * pad - pool) // stride + 1, c)
        geometry = {"pool": [pool] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        y = np.empty(out, F)
        for kind in "max", "average":
            peers, back, extra = {}, {}, []
            if torch is not None:
                t = torch.from_numpy(x).permute(0, 3, 1, 2).requires_grad_()
                f = getattr(torch.nn.functional, {"max": "max_pool2d", "average": "avg_pool2d"}[kind])
                args = {} if kind == "max" else {"count_include_pad": False}
                z = f(t, pool, stride, pad, **args)
                g = torch.ones_like(z)
                peers["torch"] = lambda f=f, t=t, a=(pool, stride, pad), k=args: f(t.detach(), *a, **k)
                back["torch"] = lambda z=z, t=t, g=g: torch.autograd.grad(z, t, g, retain_graph=True)
            if kind == "max":
                extra = [np.zeros(out, "uint8")]
            name = f"{kind}_pool {n}x{h}x{w}x{c} {pool}x{pool}/{stride}"
            yield row(
                name,
                program(f"{kind}_pool2d", [x], [(out, F)], **geometry),
                peers,
                bytes=1.0 * x.nbytes + y.nbytes,
            )
            yield row(
                f"{name} gradient",
                program(f"{kind}_pool2d_gradient", [*extra, y], [(x.shape, F)], **geometry),
                back,
                bytes=1.0 * x.nbytes + y.nbytes + sum(places.nbytes for places in extra),
            )


def _normalization(quick: bool, row, program, torch) -> Iterator:
    rng = np.random.default_rng(0)
    for shape in [(2, 4, 4, 5)] if quick else [(32, 112, 112, 64), (32, 28, 28, 256), (32, 7, 7, 2048)]:
        x, c = rng.standard_normal(shape, F), np.ones(shape[-1], F)
        outputs = [(shape, F), (c.shape, F), (c.shape, F)]
        peers, back = {}, {}
        if torch is not None:
            t = torch.from_numpy(x).permute(0, 3, 1, 2).requires_grad_()
            v = torch.from_numpy(c).requires_grad_()
            f = torch.nn.functional.batch_norm
            z = f(t, None, None, v, v, True)
            g = torch.ones_like(z)
            peers["torch"] = lambda t=t, v=v, f=f: f(t.detach(), None, None, v.detach(), v.detach(), True)
            back["torch"] = lambda z=z, t=t, v=v, g=g: torch.autograd.grad(z, (t, v), g, retain_graph=True)
        name = f"batch_norm {'x'.join(map(str, shape))}"
        yield row(
            name,
            program("batch_norm_training", [x, c, c], outputs, epsilon=1e-3),
            peers,
            bytes=3.0 * x.nbytes,
        )
        yield row(
            f"{name} gradient",
            program("batch_norm_gradient", [x, x, c, c, c], outputs, epsilon=1e-3),
            back,
            bytes=5.0 * x.nbytes,
        )
    for shape in [(3, 5)] if quick else [(32 * 128, 768), (3200, 512)]:
        x, c, r = rng.standard_normal(shape, F), np.ones(shape[-1], F), np.ones(shape[:-1], F)
        peers, back = {}, {}
        if torch is not None:
            t, v = torch.from_numpy(x).requires_grad_(), torch.from_numpy(c).requires_grad_()
            f = torch.nn.functional.layer_norm
            z = f(t, c.shape, v, v)
            g = torch.ones_like(z)
            peers["torch"] = lambda t=t, v=v, f=f, s=c.shape: f(t.detach(), s, v.detach(), v.detach())
            back["torch"] = lambda z=z, t=t, v=v, g=g: torch.autograd.grad(z, (t, v), g, retain_graph=True)
        name = f"layer_norm {shape[0]}x{shape[1]}"
        outputs = [(shape, F), (r.shape, F), (r.shape, F)]
        yield row(name, program("layer_norm", [x, c, c], outputs, epsilon=1e-3), peers, bytes=2.0 * x.nbytes)
        yield row(
            f"{name} gradient",
            program("layer_norm_gradient", [x, x, c, r, r], [(shape, F), (c.shape, F), (c.shape, F)]),
            back,
            bytes=3.0 * x.nbytes,
        )


def rows(quick: bool, row, program, torch) -> Iterator:
    for family in _movement, _embedding, _pooling, _normalization:
        yield from family(quick, row, program, torch)
