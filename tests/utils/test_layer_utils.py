from types import SimpleNamespace

import numpy as np
import pytest

from kcore.utils import print_summary
from kcore.utils.layer_utils import count_params


class Dense:
    def __init__(self, name, shape, params, inbound=()):
        self.name, self.output_shape, self._params = name, shape, params
        sources = list(inbound)
        zeros = [0] * len(sources)
        self._inbound_nodes = [
            SimpleNamespace(inbound_layers=sources, node_indices=zeros, tensor_indices=zeros)
        ]

    def count_params(self):
        return self._params


class Add(Dense):
    pass


def model(layers, trainable=(), frozen=()):
    return SimpleNamespace(
        name="net", layers=layers, trainable_weights=list(trainable), non_trainable_weights=list(frozen)
    )


def summary(*args, **kwargs):
    lines = []
    print_summary(*args, print_fn=lines.append, **kwargs)
    return lines


def test_a_chain_has_three_columns():
    first = Dense("dense_1", (None, 10), 1110)
    second = Dense("a_layer_whose_name_is_much_too_long_for_it", (None, 2), 22, [first])
    lines = summary(model([first, second], [np.zeros((111, 10)), np.zeros(12)], [np.zeros(10)]))
    assert lines == [
        'Model: "net"',
        "_" * 65,
        "Layer (type)                 Output Shape              Param #   ",
        "=" * 65,
        "dense_1 (Dense)              (None, 10)                1110      ",
        "_" * 65,
        "a_layer_whose_name_is_much_t (None, 2)                 22        ",
        "=" * 65,
        "Total params: 1,132",
        "Trainable params: 1,122",
        "Non-trainable params: 10",
        "_" * 65,
    ]


def test_branches_show_connections():
    first = Dense("a", (None, 3), 0)
    left, right = Dense("b", (None, 3), 12, [first]), Dense("c", (None, 3), 12, [first])
    lines = summary(model([first, left, right, Add("sum", (None, 3), 0, [left, right])]))
    assert len(lines[1]) == 98
    assert lines[2].rstrip().endswith("Connected to")
    assert lines[6].rstrip().endswith("12          a[0][0]")
    row = next(i for i, line in enumerate(lines) if line.startswith("sum (Add)"))
    assert lines[row].rstrip().endswith("b[0][0]")
    assert lines[row + 1].strip() == "c[0][0]"
    assert lines[row].index("b[0][0]") == lines[row + 1].index("c[0][0]")


def test_own_width_and_columns(capsys):
    net = model([Dense("dense", (None, 1), 2)])
    assert {len(line) for line in summary(net, line_length=80)[1:5]} == {80}
    lines = summary(net, line_length=40, positions=[10, 30, 40])
    assert lines[4] == "dense (De (None, 1)           2         "
    print_summary(net)
    assert capsys.readouterr().out.startswith('Model: "net"\n____')


def test_shapes_that_are_not_known():
    class Shared(Dense):
        @property
        def output_shape(self):
            raise AttributeError("called twice, with different shapes")

        @output_shape.setter
        def output_shape(self, value):
            pass

    class Unbuilt(Shared):
        @property
        def output_shape(self):
            raise RuntimeError("never called")

        @output_shape.setter
        def output_shape(self, value):
            pass

    lines = summary(model([Shared("s", None, 0), Unbuilt("u", None, 0)]))
    text = "\n".join(lines)
    assert "multiple" in text
    assert "?" in text


def test_calls_from_other_models_do_not_count():
    stranger = Dense("elsewhere", (None, 1), 0)
    first = Dense("a", (None, 3), 0)
    second = Dense("b", (None, 3), 12, [first])
    second._inbound_nodes.append(
        SimpleNamespace(inbound_layers=[stranger], node_indices=[0], tensor_indices=[0])
    )
    assert len(summary(model([first, second]))[1]) == 65


@pytest.mark.parametrize("shapes", [[], [(2, 3)], [(2, 3), (), (4,)]])
def test_count_params(shapes):
    weights = [np.zeros(shape) for shape in shapes]
    assert count_params(weights + weights) == sum(weight.size for weight in weights)
