"""What instructions say that their kernels take of the threads' scratch memory, beside what they take."""

import threading
import time

import numpy as np
import pytest
from native import program_of

from kcore import _core

PAGE = 4096


def matmul(m, n, k, **attributes):
    a = (k, m) if attributes.get("transpose_a") else (m, k)
    b = (n, k) if attributes.get("transpose_b") else (k, n)
    return "matmul", [a, b], [(m, n)], attributes


def matmul_elementwise(*args, **flags):
    _, inputs, outputs, _ = matmul(*args, **flags)
    chain = {"ops": ["square"], "args": [0, -1, -1], "constants": [], "constant_dtypes": [], "stores": [1]}
    return "matmul_elementwise", inputs, outputs, {"matmul_inputs": 2, **flags, **chain}


def convolution(batch, size, channels, filters, kernel=3, **attributes):
    out = (size - kernel) // attributes.get("strides", [1])[0] + 1
    x, y = (batch, size, size, channels), (batch, out, out, filters)
    return x, (kernel, kernel, channels, filters), y, attributes


def forward(*args, **options):
    x, kernel, y, attributes = convolution(*args, **options)
    return "conv2d", [x, kernel], [y], attributes


def data_gradient(*args, **options):
    x, kernel, y, attributes = convolution(*args, **options)
    return "conv2d_data_gradient", [y, kernel], [x], attributes


def weight_gradient(*args, **options):
    x, kernel, y, attributes = convolution(*args, **options)
    return "conv2d_weight_gradient", [x, y], [kernel], attributes


def pooling_gradient(name, batch, size, channels, pool=2):
    out = (size - pool) // 2 + 1
    x, y = (batch, size, size, channels), (batch, out, out, channels)
    attributes = {"pool": [pool, pool], "strides": [2, 2], "pads": [0, 0, 0, 0]}
    places = [(y, "uint8")] if name == "max_pool2d" else []
    return f"{name}_gradient", [*places, y], [x], attributes


CASES = [
    matmul(450, 700, 500),  # blocks
    matmul(901, 333, 90, transpose_b=True),
    matmul(200, 500, 700, transpose_a=True),
    matmul(40, 900, 2000, transpose_b=True),  # sums over lanes
    matmul(40, 900, 2000, transpose_a=True, transpose_b=True),
    matmul(900, 10, 800),
    matmul(901, 10, 128, transpose_a=True),  # narrow
    matmul(8, 900, 900),  # streams
    ("matmul", [(9, 70, 80), (9, 80, 90)], [(9, 70, 90)], {}),  # a batch shared out
    ("matmul", [(2, 500, 300), (2, 300, 400)], [(2, 500, 400)], {}),  # item by item
    matmul_elementwise(300, 700, 90, transpose_a=True),  # taken piece by piece
    matmul_elementwise(30, 5000, 90),
    matmul_elementwise(60, 70, 1200),  # not
    forward(4, 30, 32, 40),  # by Winograd's transforms
    forward(4, 30, 3, 40, 5),
    forward(4, 30, 16, 24, strides=[2, 2]),
    forward(1, 7, 512, 700, 1),  # a matrix product
    data_gradient(4, 30, 32, 40),
    data_gradient(4, 30, 16, 24, strides=[2, 2]),
    data_gradient(1, 7, 512, 700, 1),
    weight_gradient(4, 30, 32, 40),
    weight_gradient(4, 12, 256, 200),
    weight_gradient(4, 30, 3, 40, 5),
    # Results that leave the caches are made in parts.
    ("transpose", [(3500, 3700)], [(3700, 3500)], {"perm": [1, 0]}),
    ("transpose", [(3, 4200, 1001)], [(3, 1001, 4200)], {"perm": [0, 2, 1]}),
    ("transpose", [(5, 4200, 601)], [(4200, 5, 601)], {"perm": [1, 0, 2]}),  # not this one
    pooling_gradient("max_pool2d", 8, 225, 32),
    pooling_gradient("max_pool2d", 8, 225, 32, pool=3),
    pooling_gradient("average_pool2d", 8, 225, 32),
    ("batch_norm_inference", [(180_000, 70), *[(70,)] * 4], [(180_000, 70)], {"epsilon": 1e-3}),
    (
        "layer_norm",
        [(13, 1_000_000), *[(1_000_000,)] * 2],
        [(13, 1_000_000), (13,), (13,)],
        {"epsilon": 1e-3},
    ),
]


@pytest.fixture(params=[1, 2])
def threads(request):
    before = _core.num_threads()
    _core.set_num_threads(1)  # lets go of threads that hold scratch memory
    _core.set_num_threads(request.param)
    yield _core.num_threads()
    _core.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]} {c[1]}")
def test_kernels_take_the_scratch_memory_that_is_announced(case, dtype, threads):
    name, inputs, outputs, attributes = case
    inputs, outputs = (
        [spec if isinstance(spec[-1], str) else (spec, dtype) for spec in specs]
        for specs in (inputs, outputs)
    )
    compiled = program_of(name, inputs, outputs, attributes)
    xs = [np.ones(shape, of) for shape, of in inputs]
    before, taken, announced = _core.scratch_bytes(), [], compiled.memory["scratch"]
    slack = 4 * threads * PAGE

    def run():  # in a thread that holds no scratch memory yet, nor does its team
        deadline = time.monotonic() + 10
        while True:
            compiled.run(xs)
            taken[:] = [_core.scratch_bytes() - before]
            # Threads that come late find nothing to do.
            if announced <= 1.1 * taken[0] + slack or time.monotonic() > deadline:
                break

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert taken[0] <= announced + slack
    assert announced <= 1.1 * taken[0] + slack
    _core.set_num_threads(1)
    deadline = time.monotonic() + 10
    while _core.scratch_bytes() != before and time.monotonic() < deadline:
        time.sleep(0.001)  # the team's threads end behind it
    assert _core.scratch_bytes() == before
