"""Symbolic tensors, gradients, and the passes that turn them into native programs."""

from kcore.graph.function import Function, evaluate
from kcore.graph.gradient import gradients
from kcore.graph.op import Elementwise, Op, broadcast_shapes, composite, elementwise, primitive, sum_to_shape
from kcore.graph.phase import learning_phase, learning_phase_scope, set_learning_phase
from kcore.graph.scan import scan
from kcore.graph.tensor import (
    Node,
    Tensor,
    UpdateScope,
    Variable,
    as_tensor,
    constant,
    constant_value,
    placeholder,
    write_variables,
)

__all__ = [
    "Elementwise",
    "Function",
    "Node",
    "Op",
    "Tensor",
    "UpdateScope",
    "Variable",
    "as_tensor",
    "broadcast_shapes",
    "composite",
    "constant",
    "constant_value",
    "elementwise",
    "evaluate",
    "gradients",
    "learning_phase",
    "learning_phase_scope",
    "placeholder",
    "primitive",
    "scan",
    "set_learning_phase",
    "sum_to_shape",
    "write_variables",
]
