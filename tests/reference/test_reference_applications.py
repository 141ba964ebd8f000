"""The ready-made architectures: names and shapes of weights; features of an image for made-up weights."""

import hashlib
import os

import pytest
from fixture_family import case_rng, draw, made_up_weights
from referee import assert_close, family

applications = pytest.importorskip("kcore.applications")
models = pytest.importorskip("kcore.models")

CASES = family("applications")
QUICK = ("MobileNet", "MobileNetV2", "DenseNet121", "ResNet50", "ResNet50V2", "NASNetMobile", "InceptionV3")
NAMES = [name for name in CASES if name in QUICK or os.environ.get("KCORE_ALL_APPLICATIONS")]


@pytest.mark.parametrize("name", NAMES)
def test_application(name):
    case = CASES[name]
    model = getattr(applications, name)(weights=None, input_shape=(96, 96, 3), classes=10)
    lines = []
    for layer in model.layers:
        shapes = [list(w.shape) for w in layer.get_weights()]
        if shapes:
            layer.set_weights(made_up_weights(layer.name, type(layer).__name__, shapes))
            lines.append(f"{layer.name} {shapes}")
    assert model.count_params() == case["params"]
    assert hashlib.sha1("\n".join(lines).encode()).hexdigest() == case["weights"]
    image = draw(case_rng(name), (1, 96, 96, 3)).astype("float32")
    features = models.Model(model.input, model.layers[-1].input).predict(image)
    norm = float((features.astype("float64") ** 2).sum() ** 0.5)
    assert_close(norm, case["arrays"]["norm"], 1e-3, "norm")
    assert_close(features[0, :12], case["arrays"]["features"], 1e-3, "features")
