"""Metrics against tf_keras and Keras 2.3's formulas: the result after each of three batches."""

import numpy as np
import pytest
from referee import TOLERANCE, assert_close, family

from kcore import metrics
from kcore.graph import Tensor, evaluate

CASES = family("metrics")
CLASSES = [name for name, case in CASES.items() if "class" in case]
FUNCTIONS = [name for name, case in CASES.items() if "function" in case]


def value_of(x):
    return evaluate([x])[0] if isinstance(x, Tensor) else np.asarray(x)


@pytest.mark.parametrize("case", CLASSES)
def test_metric(case):
    case = CASES[case]
    data = case["arrays"]
    metric = getattr(metrics, case["class"])(**case["kwargs"])
    keys = ("values",) if "values0" in data else ("y_true", "y_pred")
    for _ in range(2):
        for batch in range(case["batches"]):
            inputs = [data[f"{key}{batch}"] for key in keys]
            metric.update_state(*inputs, sample_weight=data.get(f"sample_weight{batch}"))
            got, want = value_of(metric.result()), data[f"result{batch}"]
            assert_close(got, want, TOLERANCE["float32"], f"batch {batch}")
        metric.reset_states()


@pytest.mark.parametrize("case", FUNCTIONS)
def test_metric_function(case):
    case = CASES[case]
    data = case["arrays"]
    got = getattr(metrics, case["function"])(data["y_true"], data["y_pred"], **case["kwargs"])
    assert_close(value_of(got), data["value"], TOLERANCE["float32"], "value")
