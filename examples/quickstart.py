"""Train a small CNN on real handwritten digits, look at it, save it, load it, use it.

8x8 images of the digits 0 to 9 ship with kcore, so this runs offline.
"""

import numpy as np

from kcore.datasets import digits
from kcore.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from kcore.models import Sequential, load_model
from kcore.utils import set_random_seed, to_categorical

set_random_seed(7)

(x_train, y_train), (x_test, y_test) = digits.load_data()
x_train = x_train[..., np.newaxis].astype("float32") / 16
x_test = x_test[..., np.newaxis].astype("float32") / 16
y_train, y_test = to_categorical(y_train, 10), to_categorical(y_test, 10)

model = Sequential(
    [
        Conv2D(32, (3, 3), padding="same", activation="relu", input_shape=(8, 8, 1)),
        Conv2D(64, (3, 3), padding="same", activation="relu"),
        MaxPooling2D(pool_size=(2, 2)),
        Dropout(0.25),
        Flatten(),
        Dense(128, activation="relu"),
        Dropout(0.5),
        Dense(10, activation="softmax"),
    ]
)
model.summary()
model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])

history = model.fit(x_train, y_train, batch_size=32, epochs=20, validation_data=(x_test, y_test))

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f}")

model.save("digits.h5")
restored = load_model("digits.h5")
digit = int(restored.predict(x_test[:1]).argmax())
print(f"the first test image shows a {digit}; it is a {int(y_test[0].argmax())}")

try:
    import matplotlib
except ImportError:
    print("for a plot of the learning curves: pip install matplotlib")
else:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, name in ((left, "loss"), (right, "accuracy")):
        epochs = range(1, len(history.epoch) + 1)
        axis.plot(epochs, history.history[name], label="training")
        axis.plot(epochs, history.history[f"val_{name}"], label="test")
        axis.set(xlabel="epoch", title=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    figure.savefig("learning_curves.png", dpi=120)
    print("learning curves: learning_curves.png")
