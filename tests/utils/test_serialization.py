import numpy as np
import pytest

from kcore import utils
from kcore.utils import generic_utils as gu
from kcore.utils import serialization


class Scale:
    def __init__(self, factor=1.0):
        self.factor = factor

    def get_config(self):
        return {"factor": self.factor}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class Nest(Scale):
    @classmethod
    def from_config(cls, config, custom_objects=None):
        inner = gu.deserialize_keras_object(config["factor"], custom_objects=custom_objects)
        return cls(inner)


def double(x):
    return 2 * x


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.setattr(serialization, "_custom_objects", {})
    monkeypatch.setattr(serialization, "_registered_names", {})
    monkeypatch.setattr(serialization, "_unsafe_deserialization", False)


def test_config_round_trip():
    config = gu.serialize_keras_object(Scale(3.0))
    assert config == {"class_name": "Scale", "config": {"factor": 3.0}}
    back = gu.deserialize_keras_object(config, module_objects={"Scale": Scale})
    assert isinstance(back, Scale)
    assert back.factor == 3.0


def test_functions_go_by_name():
    assert gu.serialize_keras_object(double) == "double"
    assert gu.deserialize_keras_object("double", module_objects={"double": double}) is double
    assert gu.deserialize_keras_object(double) is double


def test_none_and_numbers_stay():
    assert gu.serialize_keras_object(None) is None
    assert gu.deserialize_keras_object(None) is None
    assert gu.deserialize_keras_object(0.5) == 0.5


def test_a_class_name_makes_an_instance():
    assert isinstance(gu.deserialize_keras_object("Scale", module_objects={"Scale": Scale}), Scale)


@pytest.mark.parametrize("identifier", ["Nope", {"class_name": "Nope", "config": {}}])
def test_unknown_names_are_named(identifier):
    with pytest.raises(ValueError, match=r"Unknown layer: 'Nope'.*custom_objects"):
        gu.deserialize_keras_object(identifier, module_objects={}, printable_module_name="layer")


def test_a_config_without_config():
    with pytest.raises(ValueError, match="Improper config"):
        gu.deserialize_keras_object({"class_name": "Scale"}, module_objects={"Scale": Scale})


def test_scopes_nest_and_end():
    config = {"class_name": "Thing", "config": {"factor": 2}}
    with gu.CustomObjectScope({"Thing": Scale}):
        with gu.custom_object_scope({"Thing": Nest}):
            assert type(gu.deserialize_keras_object(config, module_objects={})) is Nest
        assert type(gu.deserialize_keras_object(config, module_objects={})) is Scale
    with pytest.raises(ValueError, match="Unknown"):
        gu.deserialize_keras_object(config, module_objects={})


def test_global_custom_objects():
    gu.get_custom_objects()["Thing"] = Scale
    assert gu.deserialize_keras_object({"class_name": "Thing", "config": {}}).factor == 1.0


def test_scopes_reach_nested_objects():
    config = {"class_name": "Nest", "config": {"factor": {"class_name": "Inner", "config": {"factor": 7}}}}
    names = {"Nest": Nest, "Inner": Scale}
    assert gu.deserialize_keras_object(config, custom_objects=names).factor.factor == 7
    with gu.CustomObjectScope(names):
        assert gu.deserialize_keras_object(config).factor.factor == 7


def test_registered_classes_carry_their_package():
    @gu.register_keras_serializable("shop", "Price")
    class Money(Scale):
        pass

    config = gu.serialize_keras_object(Money(4))
    assert config == {"class_name": "shop>Price", "config": {"factor": 4}}
    assert type(gu.deserialize_keras_object(config)) is Money
    assert gu.get_registered_object("shop>Price") is Money
    assert gu.get_registered_name(Money) == "shop>Price"


def test_registering_again_replaces():
    def make():
        @gu.register_keras_serializable()
        class Money(Scale):
            pass

        return Money

    make()
    newest = make()
    assert type(gu.deserialize_keras_object({"class_name": "Custom>Money", "config": {}})) is newest
    assert type(gu.deserialize_keras_object({"class_name": "Money", "config": {}})) is newest


def test_registering_needs_a_config():
    with pytest.raises(ValueError, match="get_config"):
        gu.register_keras_serializable()(type("Bare", (), {}))


def test_keras_3_configs():
    config = {
        "module": "my_project.layers",
        "class_name": "Scale",
        "config": {"factor": 5},
        "registered_name": "my_project>Scale",
    }
    assert gu.deserialize_keras_object(config, custom_objects={"Scale": Scale}).factor == 5
    assert gu.deserialize_keras_object(config, custom_objects={"my_project>Scale": Scale}).factor == 5
    function = {
        "module": "builtins",
        "class_name": "function",
        "config": "double",
        "registered_name": "function",
    }
    assert gu.deserialize_keras_object(function, custom_objects={"double": double}) is double


def test_keras_3_literals():
    read = gu.deserialize_keras_object
    assert read({"class_name": "__tuple__", "items": [1, 2]}) == (1, 2)
    array = read({"class_name": "__numpy__", "config": {"value": [[1, 2]], "dtype": "int8"}})
    assert array.dtype == np.int8
    assert array.tolist() == [[1, 2]]
    assert read({"class_name": "__ellipsis__", "config": {}}) is Ellipsis
    assert read({"class_name": "__slice__", "config": {"start": 1, "stop": 4, "step": None}}) == slice(1, 4)
    assert read({"a": {"class_name": "__tuple__", "items": []}, "b": 2}) == {"a": (), "b": 2}


def test_arrays_in_configs_survive():
    back = gu.deserialize_keras_object(gu.serialize_keras_object(np.arange(3, dtype="float32")))
    assert back.dtype == np.float32
    assert back.tolist() == [0, 1, 2]


@pytest.mark.parametrize("module", ["os", "subprocess", "builtins", "keras.os", "keras.models.os"])
@pytest.mark.parametrize("name", ["system", "Popen", "eval", "exec", "open"])
def test_a_config_can_not_name_foreign_code(module, name):
    config = {"module": module, "class_name": name, "config": {"command": "true"}, "registered_name": None}
    with pytest.raises(ValueError, match="Unknown"):
        gu.deserialize_keras_object(config)


def test_a_modules_functions_are_not_called_with_a_files_arguments():
    called = []
    names = {"helper": lambda **kwargs: called.append(kwargs)}
    with pytest.raises(ValueError, match="can't be made from a config"):
        gu.deserialize_keras_object({"class_name": "helper", "config": {"a": 1}}, module_objects=names)
    assert not called
    gu.deserialize_keras_object({"class_name": "helper", "config": {"a": 1}}, custom_objects=names)
    assert called == [{"a": 1}]


def closure_of(n):
    return lambda x, y=10: x * n + y


def test_bytecode_needs_an_explicit_yes():
    dumped = gu.func_dump(closure_of(3))
    with pytest.raises(ValueError, match="safe_mode"):
        gu.func_load(*dumped)
    assert gu.func_load(*dumped, safe_mode=False)(2) == 16
    assert gu.func_load(list(dumped), safe_mode=False)(2, 1) == 7
    utils.enable_unsafe_deserialization()
    assert gu.func_load(*dumped)(2) == 16


def test_a_keras_3_lambda_needs_an_explicit_yes():
    code, defaults, closure = gu.func_dump(lambda x: x + 1)
    config = {"class_name": "__lambda__", "config": {"value": code, "defaults": defaults, "closure": closure}}
    with pytest.raises(ValueError, match="bytecode"):
        gu.deserialize_keras_object(config)
    assert gu.deserialize_keras_object(config, safe_mode=False)(1) == 2


def test_has_arg():
    def f(a, *args, b=1, **kwargs):
        pass

    assert gu.has_arg(f, "a")
    assert gu.has_arg(f, "b")
    assert not gu.has_arg(f, "args")
    assert not gu.has_arg(f, "c")
    assert gu.has_arg(f, "c", accept_all=True)
    assert not gu.has_arg(double, "c", accept_all=True)


def test_lists():
    assert gu.to_list(1) == [1]
    assert gu.to_list([1]) == [1]
    assert gu.to_list((1, 2)) == [(1, 2)]
    assert gu.to_list((1, 2), allow_tuple=True) == [1, 2]
    assert gu.unpack_singleton([5]) == 5
    assert gu.unpack_singleton([5, 6]) == [5, 6]
    assert gu.is_all_none([None, None])
    assert not gu.is_all_none([None, 0])


def test_slice_arrays():
    a, b = np.arange(5), np.arange(10).reshape(5, 2)
    first, none, second = gu.slice_arrays([a, None, b], 1, 3)
    assert first.tolist() == [1, 2]
    assert none is None
    assert second.tolist() == [[2, 3], [4, 5]]
    assert gu.slice_arrays(a, [0, 4]).tolist() == [0, 4]
    with pytest.raises(ValueError, match="stop"):
        gu.slice_arrays([a], [0], 1)


def test_transpose_shape():
    assert gu.transpose_shape((None, 4, 5, 3), "channels_first", (1, 2)) == (None, 3, 4, 5)
    assert gu.transpose_shape((4, 5, 3), "channels_first", (0, 1)) == (3, 4, 5)
    assert gu.transpose_shape((None, 4, 3), "channels_last", (1,)) == (None, 4, 3)
    with pytest.raises(ValueError, match="data_format"):
        gu.transpose_shape((1, 2), "nchw", (1,))


def test_unexpected_keys():
    gu.check_for_unexpected_keys("loss", {"a": 1}, ["a", "b"])
    with pytest.raises(ValueError, match=r"Unknown entries in `loss` dictionary: \['c'\]"):
        gu.check_for_unexpected_keys("loss", {"c": 1}, ["a", "b"])
