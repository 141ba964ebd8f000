import pickle

import numpy as np
import pytest

from kcore.layers import Dense
from kcore.models import Sequential
from kcore.optimizers import Adam
from kcore.utils import set_random_seed, to_categorical
from kcore.wrappers.scikit_learn import KerasClassifier, KerasRegressor

RNG = np.random.default_rng(0)
NAMES = np.array(["ant", "bee", "cat"])
LABELS = RNG.integers(0, 3, 90)
X = RNG.standard_normal((90, 4)).astype("float32") * 0.3
X[np.arange(90), LABELS] += 2


def build(units=8, loss="categorical_crossentropy", outputs=3):
    set_random_seed(1)
    net = Sequential(
        [Dense(units, activation="relu", input_shape=(4,)), Dense(outputs, activation="softmax")]
    )
    net.compile(Adam(0.02), loss, metrics=["accuracy"])
    return net


def build_binary():
    set_random_seed(1)
    net = Sequential([Dense(1, activation="sigmoid", input_shape=(4,))])
    net.compile("adam", "binary_crossentropy")
    return net


def build_regressor(outputs=1):
    set_random_seed(1)
    net = Sequential([Dense(outputs, input_shape=(4,))])
    net.compile("adam", "mse", metrics=["mae"])
    return net


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
@pytest.mark.parametrize("y", [NAMES[LABELS], NAMES[LABELS][:, None], LABELS * 10])
def test_classes_of_any_kind(loss, y):
    classifier = KerasClassifier(build, loss=loss, epochs=10, batch_size=8, verbose=0)
    history = classifier.fit(X, y)
    assert len(history.epoch) == 10
    assert classifier.classes_.tolist() == sorted(set(np.ravel(y).tolist()))
    assert classifier.predict(X).shape == (90,)
    assert (classifier.predict(X) == np.ravel(y)).mean() > 0.95
    assert classifier.score(X, y) == (classifier.predict(X) == np.ravel(y)).mean()
    np.testing.assert_allclose(classifier.predict_proba(X).sum(axis=1), 1, rtol=1e-5)


def test_one_hot_classes():
    classifier = KerasClassifier(build, epochs=10, batch_size=8, verbose=0)
    classifier.fit(X, to_categorical(LABELS, 3))
    assert classifier.classes_.tolist() == [0, 1, 2]
    assert classifier.score(X, to_categorical(LABELS, 3)) > 0.95
    with pytest.raises(ValueError, match="Invalid shape"):
        classifier.fit(X, np.zeros((90, 3, 2)))


def test_two_classes_from_one_output():
    y = np.where(LABELS == 0, "yes", "no")
    classifier = KerasClassifier(build_fn=build_binary, epochs=60, batch_size=4, verbose=0)
    classifier.fit(X, y)
    probabilities = classifier.predict_proba(X)
    assert probabilities.shape == (90, 2)
    np.testing.assert_array_equal(
        classifier.predict(X), np.array(["no", "yes"])[probabilities.argmax(axis=1)]
    )
    assert classifier.score(X, y) > 0.9


def test_sample_weights_reach_the_model():
    def weights_after(**options):
        classifier = KerasClassifier(build, epochs=1, verbose=0, shuffle=False)
        classifier.fit(X, LABELS, **options)
        return classifier.model.get_weights()[0]

    assert (weights_after() == weights_after(sample_weight=np.ones(90))).all()
    assert (weights_after() != weights_after(sample_weight=np.arange(90.0))).any()


def test_regression():
    y = X @ [1.0, 2.0, 0.0, -1.0]
    regressor = KerasRegressor(build_regressor, epochs=2, verbose=0)
    regressor.fit(X, y)
    assert regressor.predict(X).shape == (90,)
    error = np.mean((regressor.predict(X) - y) ** 2)
    assert regressor.score(X, y) == pytest.approx(-error, rel=1e-4)
    regressor = KerasRegressor(build_regressor, outputs=2, verbose=0)
    regressor.fit(X, X[:, :2])
    assert regressor.predict(X).shape == (90, 2)


def test_parameters():
    classifier = KerasClassifier(build, units=4, epochs=1)
    assert classifier.get_params() == {"units": 4, "epochs": 1, "build_fn": build}
    assert classifier.set_params(units=16, batch_size=5) is classifier
    assert classifier.filter_sk_params(build) == {"units": 16}
    assert classifier.filter_sk_params(Sequential.fit, {"epochs": 3}) == {"epochs": 3, "batch_size": 5}
    with pytest.raises(ValueError, match="width is not a legal parameter"):
        KerasClassifier(build, width=4)
    with pytest.raises(ValueError, match="width"):
        classifier.set_params(width=4)
    with pytest.raises(TypeError, match="build_fn"):
        KerasClassifier(units=3)
    classifier.set_params(build_fn=build_binary)
    assert classifier.build_fn is build_binary


def test_a_subclass_may_build():
    class Own(KerasClassifier):
        def __call__(self, units=8):
            return build(units)

    own = Own(units=5, verbose=0)
    own.fit(X, LABELS)
    assert own.model.layers[0].units == 5
    with pytest.raises(ValueError, match="width"):
        Own(width=5)


def test_arguments_of_a_call_win():
    classifier = KerasClassifier(build, epochs=5, verbose=0)
    assert len(classifier.fit(X, LABELS, epochs=2).epoch) == 2


def test_within_scikit_learn():
    selection = pytest.importorskip("sklearn.model_selection")
    from sklearn.base import clone, is_classifier, is_regressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = KerasClassifier(build, epochs=20, batch_size=8, verbose=0)
    assert is_classifier(classifier)
    assert is_regressor(KerasRegressor(build_regressor))
    assert clone(classifier).get_params() == classifier.get_params()
    scores = selection.cross_val_score(make_pipeline(StandardScaler(), classifier), X, NAMES[LABELS], cv=3)
    assert scores.min() > 0.8
    search = selection.GridSearchCV(classifier, {"units": [1, 8], "epochs": [20]}, cv=2)
    search.fit(X, LABELS)
    assert search.best_params_ == {"units": 8, "epochs": 20}
    regression = selection.cross_val_score(KerasRegressor(build_regressor, verbose=0), X, X[:, 0], cv=2)
    assert (regression < 0).all()


def test_an_unfitted_one_can_be_pickled():
    classifier = pickle.loads(pickle.dumps(KerasClassifier(build, epochs=2)))
    assert classifier.get_params() == {"epochs": 2, "build_fn": build}
