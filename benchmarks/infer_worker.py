"""Runs one model's inference in one library, a turn for each line on standard input; prints its samples/s."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from contenders import seconds_per_call
from train_models import MODELS, BenchmarkModel

TOLERANCE = 1e-4  # of the probabilities
CHECKED = 2  # samples

Call = Callable[[], np.ndarray]


def weights(model: BenchmarkModel) -> list[np.ndarray]:
    """Kernel and bias of each layer in Keras's layout and order, of Glorot's spread."""
    random = np.random.default_rng(1)
    shape, found = model.input_shape, []
    for kind, *numbers in model.layers:
        if kind in ("conv", "dense"):
            taps = (numbers[1],) * 2 if kind == "conv" else ()
            kernel = random.standard_normal((*taps, shape[-1], numbers[0]))
            kernel *= np.sqrt(2.0 / (np.prod(taps) * (shape[-1] + numbers[0])))
            found += [kernel, 0.1 * random.standard_normal(numbers[0])]
        shape = output_shape(shape, kind, numbers)
    return [w.astype("float32") for w in found]


def output_shape(shape: tuple[int, ...], kind: str, numbers: list) -> tuple[int, ...]:
    if kind == "dense":
        return (numbers[0],)
    if kind == "conv":
        lost = 0 if numbers[3] == "same" else numbers[1] - 1
        return (shape[0] - lost, shape[1] - lost, numbers[0])
    if kind == "pool":
        return (shape[0] // numbers[0], shape[1] // numbers[0], shape[2])
    return (int(np.prod(shape)),) if kind == "flatten" else shape


def reference(model: BenchmarkModel, x: np.ndarray) -> np.ndarray:
    """The model's outputs in float64."""
    x, found = x.astype("float64"), iter(weights(model))
    for kind, *numbers in model.layers:
        if kind == "conv":
            kernel, bias = next(found), next(found)
            if numbers[3] == "same":
                x = np.pad(x, ((0, 0), (numbers[1] // 2,) * 2, (numbers[1] // 2,) * 2, (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (1, 2))
            x = activated(np.einsum("brcixy,xyio->brco", windows, kernel, optimize=True) + bias, numbers[2])
        elif kind == "dense":
            kernel, bias = next(found), next(found)
            x = activated(x @ kernel + bias, numbers[1])
        elif kind == "pool":
            n, (b, rows, cols, channels) = numbers[0], x.shape
            x = x[:, : rows // n * n, : cols // n * n].reshape(b, rows // n, n, cols // n, n, channels)
            x = x.max((2, 4))
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
    return x


def activated(x: np.ndarray, name: str) -> np.ndarray:
    if name == "relu":
        return np.maximum(x, 0)
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def channels_first(model: BenchmarkModel) -> list[np.ndarray]:
    """The weights for images whose channels come first: OIHW kernels, and (out, in) matrices."""
    shape, found, result = model.input_shape, iter(weights(model)), []
    flat: tuple[int, ...] | None = None
    for kind, *numbers in model.layers:
        if kind == "conv":
            result += [np.ascontiguousarray(next(found).transpose(3, 2, 0, 1)), next(found)]
        elif kind == "dense":
            kernel = next(found)
            if flat is not None:
                kernel = kernel.reshape(*flat, -1).transpose(2, 0, 1, 3).reshape(len(kernel), -1)
                flat = None
            result += [np.ascontiguousarray(kernel.T), next(found)]
        elif kind == "flatten":
            flat = shape
        shape = output_shape(shape, kind, numbers)
    return result


def kcore_model(model: BenchmarkModel, x: np.ndarray, threads: int, native: bool) -> Call:
    import kcore
    from kcore import layers, models

    kcore.config.set_num_threads(threads)
    net = keras_model(models, layers, model)
    net.set_weights(weights(model))
    if not native:
        return lambda: net.predict(x, batch_size=len(x))
    run, inputs = net._predictor().compiled([x.shape]).run, [x]
    return lambda: run(inputs)[0]


def keras_model(models, layers, model: BenchmarkModel):
    kinds = {
        "dense": lambda units, activation: layers.Dense(units, activation=activation),
        "conv": lambda filters, size, activation, padding: layers.Conv2D(
            filters, size, activation=activation, padding=padding
        ),
        "pool": layers.MaxPooling2D,
        "dropout": layers.Dropout,
        "flatten": layers.Flatten,
    }
    stack = [kinds[kind](*numbers) for kind, *numbers in model.layers]
    return models.Sequential([layers.Input(model.input_shape), *stack])


def keras_tf(model: BenchmarkModel, x: np.ndarray, threads: int) -> Call:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    import keras

    net = keras_model(keras.models, keras.layers, model)
    net.set_weights(weights(model))
    return lambda: net.predict(x, batch_size=len(x), verbose=0)


def torch_model(model: BenchmarkModel, x: np.ndarray, threads: int) -> Call:
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    modules: list[nn.Module] = []
    shape, found = model.input_shape, iter(channels_first(model))

    def weighted(module: nn.Module) -> nn.Module:
        module.weight.data = torch.from_numpy(next(found))
        module.bias.data = torch.from_numpy(next(found))
        return module

    for kind, *numbers in model.layers:
        if kind == "dense":
            modules.append(weighted(nn.Linear(shape[0], numbers[0])))
            modules.append(nn.ReLU() if numbers[1] == "relu" else nn.Softmax(-1))
        elif kind == "conv":
            padding = numbers[3]
            modules += [weighted(nn.Conv2d(shape[2], numbers[0], numbers[1], padding=padding)), nn.ReLU()]
        elif kind == "pool":
            modules.append(nn.MaxPool2d(numbers[0]))
        elif kind == "flatten":
            modules.append(nn.Flatten())
        shape = output_shape(shape, kind, numbers)
    net = nn.Sequential(*modules).eval()
    inputs = torch.from_numpy(x)
    if x.ndim == 4:
        net = net.to(memory_format=torch.channels_last)
        inputs = inputs.permute(0, 3, 1, 2)

    def call() -> np.ndarray:
        with torch.inference_mode():
            return net(inputs).numpy()

    return call


def onnx_model(model: BenchmarkModel, batch: int) -> bytes:
    """Channels first, which is what these runtimes lay their own blocks out from."""
    import onnx
    from onnx import helper, numpy_helper

    nodes, stored, found, name = [], [], iter(channels_first(model)), "x"

    def node(op: str, *inputs: str, **attributes) -> str:
        nodes.append(helper.make_node(op, list(inputs), [f"t{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def store() -> str:
        stored.append(numpy_helper.from_array(next(found), f"w{len(stored)}"))
        return stored[-1].name

    for kind, *numbers in model.layers:
        if kind == "dense":
            name = node("Gemm", name, store(), store(), transB=1)
            name = node("Relu", name) if numbers[1] == "relu" else node("Softmax", name, axis=-1)
        elif kind == "conv":
            pad = numbers[1] // 2 if numbers[3] == "same" else 0
            name = node("Conv", name, store(), store(), kernel_shape=[numbers[1]] * 2, pads=[pad] * 4)
            name = node("Relu", name)
        elif kind == "pool":
            name = node("MaxPool", name, kernel_shape=[numbers[0]] * 2, strides=[numbers[0]] * 2)
        elif kind == "flatten":
            name = node("Flatten", name)
    shape = model.input_shape if len(model.input_shape) == 1 else np.roll(model.input_shape, 1).tolist()
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [batch, *shape])],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [batch, model.classes])],
        stored,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def images_first(x: np.ndarray) -> np.ndarray:
    return x if x.ndim == 2 else np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def onnxruntime_model(model: BenchmarkModel, x: np.ndarray, threads: int) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_model(model, len(x)), options, ["CPUExecutionProvider"])
    feeds = {"x": images_first(x)}
    return lambda: session.run(None, feeds)[0]


def openvino_model(model: BenchmarkModel, x: np.ndarray, threads: int) -> Call:
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",  # where the processor has them its default is bfloat16
    }
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(onnx_model(model, len(x))), "CPU", settings)
    request, inputs = compiled.create_infer_request(), [images_first(x)]
    return lambda: request.infer(inputs, share_inputs=True, share_outputs=True)[0]


PEERS = {
    "onnxruntime": onnxruntime_model,
    "openvino": openvino_model,
    "torch": torch_model,
    "keras-tf": keras_tf,
}


def main() -> None:
    contender, name, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
    threads, seconds = int(sys.argv[4]), float(sys.argv[5])
    model = MODELS[name]
    x = np.random.default_rng(0).standard_normal((batch, *model.input_shape), dtype=np.float32)
    if contender in PEERS:
        call = PEERS[contender](model, x, threads)
    else:
        call = kcore_model(model, x, threads, contender == "native")
    np.testing.assert_allclose(call()[:CHECKED], reference(model, x[:CHECKED]), rtol=0, atol=TOLERANCE)
    for _ in sys.stdin:
        print(f"RATE {batch / seconds_per_call(call, seconds)}", flush=True)


if __name__ == "__main__":
    main()
