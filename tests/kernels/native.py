"""Runs one native instruction on NumPy arrays, the way every kernel test reaches its kernel."""

import numpy as np

from kcore import _core


def run(name, inputs, outputs, /, *, seed=0, step=0, threads=(1, 2), **attributes):
    """Run the instruction on each number of threads, check that the bits agree, return the outputs.

    Where it prepares an operand, the bits must be those of the operand as it is, too.

    ``inputs``: arrays. ``outputs``: a ``(shape, dtype)`` for each.
    """
    inputs = [np.asarray(x, order="C") for x in inputs]
    specs = [(x.shape, x.dtype.name) for x in inputs] + [(tuple(s), np.dtype(d).name) for s, d in outputs]
    program = program_of(name, specs[: len(inputs)], specs[len(inputs) :], attributes)
    stored = _stored(name, inputs, specs, attributes)
    before = _core.num_threads()
    try:
        results = []
        for count in threads:
            _core.set_num_threads(count)
            results.append(program.run(inputs, seed, step))
            if stored.memory["prepared"]:
                stored.run([], seed, step)
                results.append(stored.run([], seed, step))
    finally:
        _core.set_num_threads(before)
    for first, *others in zip(*results, strict=True):
        same = all(other.tobytes() == first.tobytes() for other in others)
        assert same, f"{name}: {threads} threads give different bits"
    return results[0]


def program_of(name, inputs, outputs, attributes):
    """The instruction on operands of its caller: a ``(shape, dtype)`` for each."""
    buffers = [("external", dtype, shape, None) for shape, dtype in [*inputs, *outputs]]
    ins, outs = list(range(len(inputs))), list(range(len(inputs), len(buffers)))
    return _core.Program(buffers, [(name, ins, outs, attributes)], ins, outs, 0, 1)


def _stored(name, inputs, specs, attributes):
    """The instruction on inputs that last from run to run."""
    storages = [_core.Storage(x.dtype.name, x.shape) for x in inputs]
    for storage, x in zip(storages, inputs, strict=True):
        storage.write(np.require(x, requirements=("C", "A")))
    buffers = [
        ("storage", dtype, shape, storages[i]) if i < len(inputs) else ("external", dtype, shape, None)
        for i, (shape, dtype) in enumerate(specs)
    ]
    outs = list(range(len(inputs), len(specs)))
    return _core.Program(buffers, [(name, list(range(len(inputs))), outs, attributes)], [], outs, 0, 1)


def run1(name, inputs, output, /, **kwargs):
    """``run`` for an instruction with one output."""
    return run(name, inputs, [output], **kwargs)[0]


def run_in_place(name, arrays, ins, outs, /, **attributes):
    """Run the instruction on 1 and on 2 threads over native memory, as a model does; return the outputs.

    ``arrays``: the tensors' first values. ``ins``, ``outs``: which of them it reads and which it writes.
    """
    threads = _core.num_threads()
    results = []
    try:
        for count in (1, 2):
            _core.set_num_threads(count)
            storages = [_core.Storage(x.dtype.name, list(x.shape)) for x in arrays]
            for storage, x in zip(storages, arrays, strict=True):
                storage.write(x)
            buffers = [
                ("storage", x.dtype.name, x.shape, storage)
                for x, storage in zip(arrays, storages, strict=True)
            ]
            _core.Program(buffers, [(name, ins, outs, attributes)], [], [], 0, 0).run([])
            results.append([storages[o].read() for o in outs])
    finally:
        _core.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert one.tobytes() == two.tobytes(), f"{name}: 1 and 2 threads give different bits"
    return results[0]
