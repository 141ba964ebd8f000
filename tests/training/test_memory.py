"""What a training takes of the system's memory, and what its plan says that it takes."""

import subprocess
import sys

import pytest

# The peak of the process's resident memory, less what was resident after a small model had been trained: the
# code of the library is loaded then, and the team's threads are there.
TRAIN = """
import numpy as np
from pathlib import Path
from kcore import config, layers
from kcore.models import Sequential

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))

def trained(stack, shape, batch):
    x, y = np.full((2 * batch, *shape), 1, "float32"), np.full((2 * batch, 100), 0.01, "float32")
    Path("/proc/self/clear_refs").write_text("5")  # the peak from now on
    before = resident("VmRSS")
    model = Sequential([layers.Input(shape), *stack, layers.Dense(100, activation="softmax")])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch, epochs=2, verbose=0)
    (step,) = model._steps.values()
    return resident("VmHWM") - before, step.function.memory()

config.set_num_threads({threads})
cnn = lambda n: [layers.Conv2D(n, 3, activation="relu"), layers.Conv2D(n, 3, activation="relu"),
                 layers.MaxPooling2D(), layers.Dropout(0.2), layers.Flatten(), layers.Dense(2 * n, activation="relu")]
mlp = lambda n: [layers.Dense(n, activation="relu"), layers.Dense(n, activation="relu")]
trained(cnn(2), (9, 9, 3), 4)
trained(mlp(8), (8,), 4)
peak, memory = trained({model})
print(peak, sum(memory.values()), memory)
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("model", ["mlp(1500), (1000,), 200", "cnn(64), (36, 36, 3), 48"])
def test_the_plan_accounts_for_what_the_process_takes(model, threads):
    code = TRAIN.replace("{threads}", str(threads)).replace("{model}", model)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak, planned = map(float, done.stdout.split()[:2])
    assert 0.9 * peak < planned < 1.1 * peak, done.stdout
