"""Rows of core layers, activations, noise, embeddings, merging and normalization."""

import numpy as np
from layer_checks import LayerCase

from kcore import layers as L


def integers(rng, shape):
    return rng.integers(0, 4, shape).astype("int32")


def double(x):
    return x * 2.0


ONE = [(3, 4)]
SEQUENCE = [(3, 4, 2)]
IMAGE = [(2, 4, 3, 2)]
TWO = [(2, 3, 2), (2, 3, 2)]

CASES = [
    LayerCase("dense", lambda: L.Dense(3, activation="tanh"), ONE, weights=["kernel", "bias"], mask="kept"),
    LayerCase("dense_4d", lambda: L.Dense(2), IMAGE, [1, 2], weights=["kernel", "bias"], mask="kept"),
    LayerCase(
        "dense_no_bias", lambda: L.Dense(3, use_bias=False), SEQUENCE, [1], weights=["kernel"], mask="kept"
    ),
    LayerCase("activation", lambda: L.Activation("softplus"), SEQUENCE, [1, 2], mask="kept"),
    LayerCase("dropout", lambda: L.Dropout(0.4), SEQUENCE, [1, 2], mask="kept", random=True),
    LayerCase("dropout_seed", lambda: L.Dropout(0.4, seed=3), SEQUENCE, [1], mask="kept", random=True),
    LayerCase(
        "dropout_noise_shape", lambda: L.Dropout(0.4, (None, 1, 2)), SEQUENCE, mask="kept", random=True
    ),
    LayerCase("dropout_nothing", lambda: L.Dropout(0.0), SEQUENCE, [1, 2], mask="kept"),
    LayerCase(
        "spatial_dropout_1d", lambda: L.SpatialDropout1D(0.4), [(3, 4, 5)], [1], mask="kept", random=True
    ),
    LayerCase(
        "spatial_dropout_2d",
        lambda **k: L.SpatialDropout2D(0.4, **k),
        [(2, 3, 2, 5)],
        [1, 2],
        mask="kept",
        random=True,
    ),
    LayerCase(
        "spatial_dropout_3d",
        lambda **k: L.SpatialDropout3D(0.4, **k),
        [(2, 2, 2, 2, 5)],
        mask="kept",
        random=True,
    ),
    LayerCase("flatten", lambda **k: L.Flatten(**k), IMAGE, data_format=True),
    LayerCase("flatten_sequence", lambda: L.Flatten(), SEQUENCE),
    LayerCase("reshape", lambda: L.Reshape((4, 2, 3)), IMAGE),
    LayerCase("reshape_inferred", lambda: L.Reshape((-1, 2)), IMAGE, [1, 2]),
    LayerCase("permute", lambda: L.Permute((3, 1, 2)), IMAGE, [1, 2, 3]),
    LayerCase("repeat_vector", lambda: L.RepeatVector(3), ONE, [1]),
    LayerCase(
        "lambda", lambda: L.Lambda(double), SEQUENCE, [1, 2], custom_objects={"double": double}, mask="used"
    ),
    LayerCase("masking", lambda: L.Masking(0.003), SEQUENCE, [1, 2], mask="none"),
    LayerCase(
        "activity_regularization", lambda: L.ActivityRegularization(0.1, 0.2), SEQUENCE, [1, 2], mask="kept"
    ),
    LayerCase("leaky_relu", lambda: L.LeakyReLU(0.2), SEQUENCE, [1, 2], mask="kept"),
    LayerCase("prelu", lambda: L.PReLU(), SEQUENCE, weights=["alpha"], mask="kept"),
    LayerCase(
        "prelu_shared", lambda: L.PReLU(shared_axes=[1, 2]), IMAGE, [1, 2], weights=["alpha"], mask="kept"
    ),
    LayerCase("elu", lambda: L.ELU(0.7), SEQUENCE, [1, 2], mask="kept"),
    LayerCase("thresholded_relu", lambda: L.ThresholdedReLU(0.4), SEQUENCE, [1, 2], mask="kept"),
    LayerCase("softmax", lambda: L.Softmax(axis=1), SEQUENCE, [2], mask="kept"),
    LayerCase("relu", lambda: L.ReLU(1.5, 0.1, 0.2), SEQUENCE, [1, 2], mask="kept"),
    LayerCase("gaussian_noise", lambda: L.GaussianNoise(0.3), SEQUENCE, [1, 2], mask="kept", random=True),
    LayerCase("gaussian_dropout", lambda: L.GaussianDropout(0.3), SEQUENCE, [1, 2], mask="kept", random=True),
    LayerCase("alpha_dropout", lambda: L.AlphaDropout(0.3), SEQUENCE, [1, 2], mask="kept", random=True),
    LayerCase(
        "embedding",
        lambda: L.Embedding(4, 3),
        ONE,
        [1],
        weights=["embeddings"],
        inputs=integers,
        differentiable=False,
        mask="used",
    ),
    LayerCase(
        "embedding_mask",
        lambda: L.Embedding(4, 3, mask_zero=True, input_length=4),
        ONE,
        weights=["embeddings"],
        inputs=lambda rng, shape: np.array([[1, 2, 3, 1], [2, 2, 2, 2], [3, 0, 0, 0]], "int32"),
        differentiable=False,
        mask="kept",
    ),
    LayerCase("add", lambda: L.Add(), [(2, 3), (2, 3), (2, 3)], [1], mask="kept"),
    LayerCase("add_ranks", lambda: L.Add(), [(2, 3, 4), (2, 4)], mask="none"),
    LayerCase("subtract", lambda: L.Subtract(), TWO, [1], mask="kept"),
    LayerCase("multiply", lambda: L.Multiply(), [(2, 3, 2), (2, 3, 1)], [1], mask="kept"),
    LayerCase("average", lambda: L.Average(), TWO, [1], mask="kept"),
    LayerCase("maximum", lambda: L.Maximum(), [(2, 3, 2), (2, 1, 2)], mask="none"),
    LayerCase("minimum", lambda: L.Minimum(), TWO, [1], mask="kept"),
    LayerCase("concatenate", lambda: L.Concatenate(), [(2, 3, 2), (2, 3, 4)], [1], mask="kept"),
    LayerCase("concatenate_axis", lambda: L.Concatenate(axis=1), [(2, 3), (2, 3)], mask="none"),
    LayerCase("dot", lambda: L.Dot((2, 1)), [(2, 3, 4), (2, 4, 5)], mask="used"),
    LayerCase("dot_vectors", lambda: L.Dot(1, normalize=True), [(3, 4), (3, 4)], mask="used"),
    LayerCase(
        "batch_normalization",
        lambda: L.BatchNormalization(),
        ONE,
        weights=["gamma", "beta", "moving_mean", "moving_variance"],
        mask="kept",
        random="statistics",
    ),
    LayerCase(
        "batch_normalization_axis",
        lambda: L.BatchNormalization(axis=1, scale=False),
        IMAGE,
        [2, 3],
        weights=["beta", "moving_mean", "moving_variance"],
        mask="kept",
        random="statistics",
    ),
    LayerCase(
        "layer_normalization",
        lambda: L.LayerNormalization(),
        SEQUENCE,
        [1],
        weights=["gamma", "beta"],
        mask="kept",
    ),
    LayerCase(
        "layer_normalization_axes",
        lambda: L.LayerNormalization(axis=[1, 2], center=False),
        [(2, 3, 4)],
        weights=["gamma"],
        mask="kept",
    ),
]
