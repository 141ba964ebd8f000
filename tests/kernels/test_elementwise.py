"""The instruction ``elementwise`` against NumPy and the C library, in double precision."""

import math

import numpy as np
import pytest
from native import run, run1, run_in_place

from kcore import _core

FLOATS = ["float32", "float64"]
INTEGERS = ["uint8", "int32", "int64"]
NUMBERS = INTEGERS + FLOATS
ALL = ["bool", *NUMBERS]
SIZES = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65]

OPCODES = _core.elementwise_opcodes()


def expression(inputs, outputs, ops, args, stores=None, constants=(), constant_dtypes=()):
    flat = [register for step in args for register in (*step, -1, -1, -1)[:3]]
    if stores is None:
        stores = [len(inputs) + len(constants) + len(ops) - 1]
    return run(
        "elementwise",
        inputs,
        outputs,
        ops=list(ops),
        args=flat,
        stores=stores,
        constants=[float(c) for c in constants],
        constant_dtypes=list(constant_dtypes),
    )


def one(op, *inputs, dtype):
    """One opcode over broadcast inputs."""
    shape = np.broadcast_shapes(*(x.shape for x in inputs))
    return expression(inputs, [(shape, dtype)], [op], [range(len(inputs))])[0]


def scalar(function):
    return np.vectorize(function, otypes=[np.float64])


def digamma(x):
    if x != x or x == math.inf:
        return x
    if x == 0:
        return math.copysign(math.inf, -x)
    if x < 0:
        return math.nan if x == math.floor(x) else digamma(1 - x) - math.pi / math.tan(math.pi * (x % 1))
    shift = 0.0
    while x < 20:
        shift -= 1 / x
        x += 1
    t = 1 / (x * x)
    return shift + math.log(x) - 0.5 / x - t * (1 / 12 - t * (1 / 120 - t * (1 / 252 - t / 240)))


def lgamma(x):
    return math.inf if x in (math.inf, -math.inf) or (x <= 0 and x == math.floor(x)) else math.lgamma(x)


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1 + e)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


# Float functions: reference, interval of the random arguments, tolerance in units of the last place.
UNARY = {
    "exp": (np.exp, (-104, 89), 2),
    "expm1": (np.expm1, (-20, 89), 2),
    "log": (np.log, (1e-40, 1e3), 2),
    "log1p": (np.log1p, (-0.999, 10), 2),
    "log2": (np.log2, (1e-40, 1e3), 2),
    "log10": (np.log10, (1e-40, 1e3), 2),
    "sqrt": (np.sqrt, (0, 1e3), 1),
    "rsqrt": (lambda x: 1 / np.sqrt(x), (1e-3, 1e3), 2),
    "square": (np.square, (-30, 30), 1),
    "reciprocal": (lambda x: 1 / x, (-10, 10), 1),
    "sin": (np.sin, (-1000, 1000), 2),
    "cos": (np.cos, (-1000, 1000), 2),
    "tan": (np.tan, (-100, 100), 2),
    "arcsin": (np.arcsin, (-1, 1), 2),
    "arccos": (np.arccos, (-1, 1), 2),
    "arctan": (np.arctan, (-50, 50), 2),
    "sinh": (np.sinh, (-80, 80), 2),
    "cosh": (np.cosh, (-80, 80), 2),
    "tanh": (np.tanh, (-12, 12), 4),
    "arcsinh": (np.arcsinh, (-50, 50), 2),
    "arccosh": (np.arccosh, (1, 50), 2),
    "arctanh": (np.arctanh, (-0.999, 0.999), 2),
    "erf": (scalar(math.erf), (-4.5, 4.5), 2),
    "sigmoid": (sigmoid, (-100, 100), 3),
    "softplus": (softplus, (-100, 100), 3),
    "floor": (np.floor, (-9, 9), 0),
    "ceil": (np.ceil, (-9, 9), 0),
    "round": (np.round, (-9, 9), 0),
    "trunc": (np.trunc, (-9, 9), 0),
    "negative": (np.negative, (-9, 9), 0),
    "abs": (np.abs, (-9, 9), 0),
    "sign": (np.sign, (-9, 9), 0),
    "relu": (lambda x: np.maximum(x, 0), (-9, 9), 0),
    "identity": (lambda x: x, (-9, 9), 0),
}

EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, 1e-10, -1e-10, 1e-30, 1e30, 20.0, 90.0, -110.0]
EDGES += [math.inf, -math.inf, math.nan]


def arguments(interval, dtype, rng):
    low, high = interval
    uniform = rng.uniform(low, high, 3000)
    small = rng.uniform(-1, 1, 500) * 10.0 ** rng.uniform(-6, 0, 500)
    small = small[(small >= low) & (small <= high)]
    return np.concatenate([uniform, small]).astype(dtype)


def assert_ulp(got, want, ulp, dtype):
    """Within ``ulp`` units of the last place of the double precision reference; exact where not finite."""
    info = np.finfo(dtype)
    with np.errstate(over="ignore"):
        rounded = want.astype(dtype)
    special = ~np.isfinite(rounded)
    np.testing.assert_array_equal(got[special], rounded[special])
    spacing = np.maximum(np.abs(want[~special]) * info.eps, info.smallest_subnormal)
    error = np.abs(got[~special].astype(want.dtype) - want[~special]) / spacing
    assert error.size == 0 or error.max() <= ulp + 0.5, f"{error.max()} ulp"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", UNARY)
def test_float_functions(op, dtype):
    reference, interval, ulp = UNARY[op]
    x = arguments(interval, dtype, np.random.default_rng(3))
    with np.errstate(all="ignore"):
        want = reference(x.astype("float64"))
    # Some references in float64 are an ulp or two off themselves.
    assert_ulp(one(op, x, dtype=dtype), want, max(ulp, 4) if dtype == "float64" and ulp else ulp, dtype)


def powers(low, high, rng):
    return 10.0 ** rng.uniform(low, high, 2000)


# Arguments all over the numbers, in powers of ten or about places where algorithms change.
WIDE = {
    "exp": [(-745, 709), (-1, 1), (-103, 88)],
    "expm1": [(-50, 709), (-1, 1), (-20, 88)],
    "sin": [(-1e6, 1e6), (-4, 4), (-3e9, 3e9)],
    "cos": [(-1e6, 1e6), (-4, 4), (-3e9, 3e9)],
    "tan": [(-1e6, 1e6), (-4, 4), (-3e9, 3e9)],
    "sinh": [(-710.4, 710.4), (-2, 2), (-89.4, 89.4)],
    "cosh": [(-710.4, 710.4), (-2, 2), (-89.4, 89.4)],
    "tanh": [(-20, 20), (-1, 1)],
    "arcsin": [(-1, 1), (0.49, 0.51), (0.999, 1)],
    "arccos": [(-1, 1), (0.49, 0.51), (0.999, 1)],
    "arctan": [(-5, 5), (0.4, 0.43), (2.4, 2.43)],
    "arcsinh": [(-5, 5), (-1e300, 1e300), (-1e37, 1e37), (5e3, 2e4), (5e8, 2e9)],
    "arccosh": [(1, 1.1), (1, 1e300), (1, 1e37), (5e3, 2e4), (5e8, 2e9)],
    "arctanh": [(-1, 1), (0.999, 1)],
    "log": [(0, 2), (0, 1e-300), (0, 1e-37), (0, 1e300), (0, 1e37)],
    "log2": [(0, 2), (0, 1e-300), (0, 1e-37), (0, 1e300), (0, 1e37)],
    "log10": [(0, 2), (0, 1e-300), (0, 1e-37), (0, 1e300), (0, 1e37)],
    "log1p": [(-1, 1), (-0.99999, -0.9999), (0, 1e300), (0, 1e37)],
}


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="needs a format wider than float64")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", WIDE)
def test_float_functions_against_a_wider_format(op, dtype):
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.uniform(low, high, 2000) for low, high in WIDE[op]])
    if op not in ("arccosh", "cosh"):
        tiny = powers(-37, -1, rng)
        x = np.concatenate([x, tiny] + [-tiny] * (not op.startswith("log") or op == "log1p"))
    if op in ("sin", "cos", "tan"):
        x = np.concatenate([x, np.arange(-2000, 2000) * (math.pi / 2)])
    with np.errstate(all="ignore"):
        x = x.astype(dtype)
        want = getattr(np, op)(x.astype(np.longdouble))
    got = one(op, x, dtype=dtype)
    assert_ulp(got, want, 2, dtype)
    if op not in ("arccosh", "arccos") and not op.startswith(("log", "cos", "exp")):
        np.testing.assert_array_equal(np.signbit(one(op, np.array([0.0, -0.0], dtype), dtype=dtype)), [0, 1])


@pytest.mark.parametrize("dtype", FLOATS)
def test_arctan2_over_the_plane(dtype):
    rng = np.random.default_rng(6)
    y, x = (powers(-37, 37, rng) * rng.choice([-1, 1], 2000) for _ in range(2))
    huge = float(np.finfo(dtype).max)
    corners = np.array([0.0, -0.0, math.inf, -math.inf, huge, -huge, 1.0, -1.0, math.nan])
    y = np.concatenate([y, y, np.repeat(corners, len(corners))]).astype(dtype)
    x = np.concatenate([x, y[:2000] * rng.uniform(-3, 3, 2000), np.tile(corners, len(corners))]).astype(dtype)
    want = np.arctan2(y.astype(np.longdouble), x.astype(np.longdouble))
    got = one("arctan2", y, x, dtype=dtype)
    assert_ulp(got, want, 2, dtype)
    zero = want == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", UNARY)
def test_float_functions_of_special_values(op, dtype):
    reference, _, ulp = UNARY[op]
    x = np.array(EDGES, dtype)
    with np.errstate(all="ignore"):
        want = reference(x.astype("float64"))
    got = one(op, x, dtype=dtype)
    assert_ulp(got, want, max(ulp, 4) if ulp else 0, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", ["erf", "tanh"])
def test_saturation(op, dtype):
    x = np.array([10, 20, 1e30, math.inf], dtype)[{"erf": 0, "tanh": 1}[op] :]
    np.testing.assert_array_equal(one(op, x, dtype=dtype), np.ones_like(x))
    np.testing.assert_array_equal(one(op, -x, dtype=dtype), -np.ones_like(x))


@pytest.mark.parametrize("dtype", FLOATS)
def test_exponentials_around_their_last_number(dtype):
    """The least logarithm of a subnormal number: from there on every vector holds some lanes that are 0."""
    last = float(np.log(np.finfo(dtype).smallest_subnormal))
    x = np.concatenate([np.linspace(last - 3, last + 3, 203), [-1e4, -1e30, -math.inf, math.nan]]).astype(
        dtype
    )
    with np.errstate(under="ignore"):
        want = np.exp(x.astype("longdouble")).astype(dtype)
    for op, argument in [("exp", x), ("sigmoid", x), ("softplus", x)]:
        got = one(op, argument, dtype=dtype)
        np.testing.assert_allclose(
            got, want, rtol=0, atol=1.5 * np.finfo(dtype).smallest_subnormal, err_msg=op
        )
        far = argument < last - 1
        np.testing.assert_array_equal(got[far], np.zeros_like(got[far]), err_msg=op)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", ["log", "log2", "log10", "log1p"])
def test_logarithms_over_the_numbers(op, dtype):
    info = np.finfo(dtype)
    exponents = np.arange(info.minexp - info.nmant, info.maxexp)
    mantissas = np.random.default_rng(0).uniform(1, 2, exponents.size)
    with np.errstate(under="ignore"):
        x = np.concatenate([np.ldexp(mantissas, exponents), [info.max]]).astype(dtype)
    assert_ulp(one(op, x, dtype=dtype), getattr(np, op)(x.astype("float64")), 2, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_gamma_functions(dtype):
    x = arguments((0.01, 50), dtype, np.random.default_rng(0))
    x = np.append(x, np.array([0.0, -0.0, -1.0, -2.5, -7.25, math.inf, math.nan, 1e-3, 171.0], dtype))
    tolerance = 1e-6 if dtype == "float32" else 2e-14
    for op, reference in (("lgamma", lgamma), ("digamma", digamma)):
        with np.errstate(invalid="ignore"):
            want = scalar(reference)(x.astype("float64"))
        np.testing.assert_allclose(one(op, x, dtype=dtype), want, rtol=10 * tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", FLOATS)
def test_erfinv(dtype):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-1, 1, 2000), 1 - 10 ** rng.uniform(-6, -1, 500), [0, 1e-9, -1e-4]])
    x = x.astype(dtype)
    y = one("erfinv", x, dtype=dtype).astype("float64")
    back = scalar(math.erf)(y)
    slope = 2 / math.sqrt(math.pi) * np.exp(-y * y)
    eps = np.finfo(dtype).eps
    # The error of y, seen through erf, next to half an ulp of x.
    assert np.all(np.abs(back - x) <= 6 * eps * np.abs(y) * slope + eps * np.abs(x))
    got = one("erfinv", np.array([1, -1, 1.5, np.nan], dtype), dtype=dtype)
    np.testing.assert_array_equal(got, [np.inf, -np.inf, np.nan, np.nan])


BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "floor_divide": np.floor_divide,
    "mod": np.mod,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "arctan2": np.arctan2,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", BINARY)
def test_binary_floats(op, dtype):
    rng = np.random.default_rng(0)
    edges = np.array(EDGES, dtype)
    x = np.concatenate([rng.normal(size=400).astype(dtype) * 7, np.repeat(edges, len(edges))])
    y = np.concatenate([rng.normal(size=400).astype(dtype) * 3, np.tile(edges, len(edges))])
    with np.errstate(all="ignore"):
        want = BINARY[op](x, y)
    got = one(op, x, y, dtype=dtype)
    if op == "arctan2":
        np.testing.assert_allclose(got, want, rtol=3e-7)
    else:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", FLOATS)
def test_power(dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 20, 1000), 10 ** rng.uniform(-30, 30, 1000)]).astype(dtype)
    y = rng.uniform(-6, 6, 2000).astype(dtype)
    with np.errstate(all="ignore"):
        want = np.power(x.astype("float64"), y.astype("float64"))
    assert_ulp(one("power", x, y, dtype=dtype), want, 2, dtype)
    edges = np.array([*EDGES, 2.0, 3.0, -2.0, -3.0], dtype)
    x, y = np.repeat(edges, len(edges)), np.tile(edges, len(edges))
    with np.errstate(all="ignore"):
        want = np.power(x.astype("float64"), y.astype("float64"))
    assert_ulp(one("power", x, y, dtype=dtype), want, 2, dtype)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="needs a format wider than float64")
@pytest.mark.parametrize("dtype", FLOATS)
def test_power_over_the_numbers(dtype):
    """Bases of either sign, of all magnitudes and next to 1, and exponents up to those that overflow."""
    rng = np.random.default_rng(7)
    top = math.log(float(np.finfo(dtype).max))
    base = np.exp(rng.uniform(-top, top, 3000))
    near = 1 + powers(-4, -0.3, rng) * rng.choice([-1, 1], 2000)
    x = np.concatenate([base, near, [1.0, 1.0], -base, np.full(8, -1.5)]).astype(dtype)
    with np.errstate(divide="ignore"):
        limit = np.minimum(1.02 * top / np.abs(np.log(np.abs(x.astype("float64")))), 1e6)
    y = (rng.uniform(-1, 1, x.size) * limit).astype(dtype)
    whole = x < 0
    y[whole] = np.round(y[whole])
    y[-8:] = [2.5, -0.5, 3, 4, 1e15, 1e30, -3, -4]
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
    assert_ulp(one("power", x, y, dtype=dtype), want, 2, dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("op", [op for op in BINARY if op not in ("divide", "arctan2")])
def test_binary_integers_wrap_and_survive_zero(op, dtype):
    info = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    edges = np.array([info.min, info.min + 1, 0, 1, 2, 7, info.max - 1, info.max], dtype)
    if info.min < 0:
        edges = np.append(edges, np.array([-1, -2, -7], dtype))
    x = np.concatenate([rng.integers(info.min, info.max, 100, dtype, True), np.repeat(edges, len(edges))])
    y = np.concatenate([rng.integers(info.min, info.max, 100, dtype, True), np.tile(edges, len(edges))])
    with np.errstate(all="ignore"):
        want = BINARY[op](x, y)
    np.testing.assert_array_equal(one(op, x, y, dtype=dtype), want)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_unary_integers(dtype):
    info = np.iinfo(dtype)
    x = np.array([info.min, info.max, 0, 1, 2, 100, info.max - 1], dtype)
    for op, reference in (
        ("negative", np.negative),
        ("abs", np.abs),
        ("sign", np.sign),
        ("square", np.square),
        ("identity", lambda x: x),
        ("bitwise_not", np.invert),
        ("relu", lambda x: np.maximum(x, x.dtype.type(0))),
    ):
        with np.errstate(all="ignore"):
            want = reference(x)
        np.testing.assert_array_equal(one(op, x, dtype=dtype), want, err_msg=op)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_power(dtype):
    x = np.repeat(np.arange(6, dtype=dtype), 6)
    y = np.tile(np.arange(6, dtype=dtype), 6)
    np.testing.assert_array_equal(one("power", x, y, dtype=dtype), np.power(x, y))
    if dtype != "uint8":
        x = np.array([1, -1, -1, 2, 0, 3, -3], dtype)
        y = np.array([-3, -3, -2, -1, -1, -40, 3], dtype)
        np.testing.assert_array_equal(one("power", x, y, dtype=dtype), [1, -1, 1, 0, 0, 0, -27])


@pytest.mark.parametrize("dtype", INTEGERS)
def test_bitwise_and_shifts(dtype):
    info = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    x, y = rng.integers(info.min, info.max, (2, 90), dtype, True)
    for op in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        np.testing.assert_array_equal(one(op, x, y, dtype=dtype), getattr(np, op)(x, y), err_msg=op)
    count = (np.arange(90) % (info.bits + 3)).astype(dtype)
    for op in ("left_shift", "right_shift"):
        np.testing.assert_array_equal(one(op, x, count, dtype=dtype), getattr(np, op)(x, count), err_msg=op)


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("op", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
def test_comparisons(op, dtype):
    x, y = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 3, (2, 77)).astype(dtype)
    if dtype in FLOATS:
        x[::7] = np.nan
    np.testing.assert_array_equal(one(op, x, y, dtype="bool"), getattr(np, op)(x, y))


@pytest.mark.parametrize("dtype", ALL)
def test_logical(dtype):
    x, y = np.random.default_rng(0).integers(0, 2, (2, 77)).astype(dtype)
    for op in ("logical_and", "logical_or", "logical_xor"):
        np.testing.assert_array_equal(one(op, x, y, dtype="bool"), getattr(np, op)(x, y), err_msg=op)
    np.testing.assert_array_equal(one("logical_not", x, dtype="bool"), np.logical_not(x))


def test_boolean_bitwise_and_order():
    x, y = np.random.default_rng(0).integers(0, 2, (2, 77)).astype("bool")
    for op in ("bitwise_and", "bitwise_or", "bitwise_xor", "maximum", "minimum"):
        np.testing.assert_array_equal(one(op, x, y, dtype="bool"), getattr(np, op)(x, y), err_msg=op)
    np.testing.assert_array_equal(one("bitwise_not", x, dtype="bool"), ~x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_classification(dtype):
    x = np.array([*EDGES, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal], dtype)
    for op in ("isnan", "isinf", "isfinite"):
        np.testing.assert_array_equal(one(op, x, dtype="bool"), getattr(np, op)(x), err_msg=op)


@pytest.mark.parametrize("dtype", ALL)
def test_where(dtype):
    rng = np.random.default_rng(0)
    c = rng.integers(0, 2, 131).astype("bool")
    x, y = rng.integers(0, 100, (2, 131)).astype(dtype)
    np.testing.assert_array_equal(one("where", c, x, y, dtype=dtype), np.where(c, x, y))


@pytest.mark.parametrize("target", ALL)
@pytest.mark.parametrize("dtype", ALL)
def test_casts(dtype, target):
    x = np.array([0, 1, 2, 100, 127, 3, 0, 250], dtype)
    if dtype in ("int32", "int64"):
        x = np.append(x, np.array([-1, -300, 2**31 - 1, -(2**31)], dtype))
    if dtype in FLOATS:
        x = np.append(x, np.array([0.5, -0.5, 1.99, -7.9], dtype))
    want = x.astype("int32").astype(target) if dtype in FLOATS and target == "uint8" else x.astype(target)
    np.testing.assert_array_equal(one(f"cast_{target}", x, dtype=target), want)
    repeated = np.broadcast_to(x[1], (5, 70))
    got = expression([x[1:2]], [((5, 70), target)], [f"cast_{target}"], [[0]])[0]
    np.testing.assert_array_equal(got, repeated.astype(target))


@pytest.mark.parametrize("dtype", FLOATS)
def test_casts_to_integers_saturate(dtype):
    x = np.array([1e30, -1e30, np.inf, -np.inf, np.nan], dtype)
    for target in ("int32", "int64"):
        info = np.iinfo(target)
        want = [info.max, info.min, info.max, info.min, 0]
        np.testing.assert_array_equal(one(f"cast_{target}", x, dtype=target), want)


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("n", [0, *SIZES, 1023, 1024, 1025, 5000])
def test_every_size(n, dtype):
    x = np.random.default_rng(0).integers(0, 50, n).astype(dtype)
    op = "logical_not" if dtype == "bool" else "square"
    want = ~x if dtype == "bool" else np.square(x)
    np.testing.assert_array_equal(one(op, x, dtype=dtype), want)


BROADCASTS = [
    ((), (5,)),
    ((1,), (1,)),
    ((3, 1), (1, 4)),
    ((7, 5), (5,)),
    ((700, 5), (5,)),
    ((700, 5), (700, 1)),
    ((2, 3000), (3000,)),
    ((3, 3000), (3, 1)),
    ((40, 1, 33), (7, 1)),
    ((4, 6, 6, 17), (4, 1, 1, 17)),
    ((4, 6, 6, 17), (1, 6, 1, 17)),
    ((4, 6, 6, 1), (4, 1, 6, 17)),
    ((2, 1, 3, 1, 5), (4, 1, 6, 1)),
    ((0, 3), (3,)),
    ((0, 1), (1, 3)),
    ((9000,), (1,)),
    ((1, 2050), (3, 1)),
]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("shapes", BROADCASTS, ids=str)
def test_broadcasting(shapes, dtype):
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 9, shape).astype(dtype) for shape in shapes)
    np.testing.assert_array_equal(one("subtract", x, y, dtype=dtype), x - y)
    np.testing.assert_array_equal(one("subtract", y, x, dtype=dtype), y - x)


def test_large_broadcasts_cross_tasks():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(130, 37, 25)).astype("float32")
    for shape in ((25,), (37, 1), (130, 1, 25), (130, 1, 1), (1, 37, 25), (130, 37, 1)):
        y = rng.normal(size=shape).astype("float32")
        np.testing.assert_array_equal(one("multiply", x, y, dtype="float32"), x * y)


def test_chain_with_constants_and_several_outputs():
    rng = np.random.default_rng(0)
    for n in (1, 17, 1000, 100_003):
        w, m, v, g = rng.normal(size=(4, n)).astype("float32")
        v = abs(v)
        ops = ["multiply", "multiply", "add", "square", "multiply", "multiply", "add"]
        args = [[1, 4], [3, 5], [9, 10], [3], [2, 6], [12, 7], [13, 14]]
        ops += ["sqrt", "add", "multiply", "divide", "subtract"]
        args += [[15], [16, 8], [11, 4], [18, 17], [0, 19]]
        got = expression(
            [w, m, v, g], [((n,), "float32")] * 3, ops, args, [20, 11, 15],
            [0.9, 0.1, 0.999, 0.001, 1e-7], ["float32"] * 5,
        )  # fmt: skip
        w, m, v, g = (a.astype("float64") for a in (w, m, v, g))
        m = np.float32(0.9) * m + np.float32(0.1) * g
        v = np.float32(0.999) * v + np.float32(0.001) * g * g
        w = w - np.float32(0.9) * m / (np.sqrt(v) + np.float32(1e-7))
        for have, want in zip(got, (w, m, v), strict=True):
            np.testing.assert_allclose(have, want, rtol=2e-5, atol=1e-5)


INNER = {"add": 2, "subtract": 2, "multiply": 2, "divide": 2, "square": 1, "sqrt": 1, "negative": 1}
OUTER = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "power"]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("inner", INNER)
def test_pairs_of_steps(inner, outer, dtype):
    """Two steps may run as one loop, with the inner result as either argument, or twice, or stored as well."""
    rng = np.random.default_rng(0)
    x, y, z = rng.uniform(0.5, 2, (3, 1003)).astype(dtype)
    args = [0, 1][: INNER[inner]]
    wide = [v.astype("float64") for v in (x, y, z)]
    middle = getattr(np, inner)(*wide[: INNER[inner]])
    tolerance = 3e-5 if dtype == "float32" else 1e-12  # a difference may be small
    for first, second in ((3, 2), (2, 3), (3, 3)):
        operands = [middle if r == 3 else wide[2] for r in (first, second)]
        with np.errstate(all="ignore"):
            want = getattr(np, outer)(*operands)
        for outputs, stores in (([((1003,), dtype)], [4]), ([((1003,), dtype)] * 2, [4, 3])):
            got = expression([x, y, z], outputs, [inner, outer], [args, [first, second]], stores)
            np.testing.assert_allclose(got[0], want, rtol=tolerance, atol=tolerance)
            if len(stores) == 2:
                np.testing.assert_allclose(got[1], middle, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "ops", [("multiply", "erf"), ("multiply", "tanh"), ("expm1", "multiply"), ("sigmoid", "multiply")]
)
def test_activations_of_two_steps(ops, dtype):
    x, y = np.random.default_rng(0).uniform(-3, 3, (2, 1003)).astype(dtype)
    reference = {"multiply": np.multiply} | {op: UNARY[op][0] for op in ("erf", "tanh", "expm1", "sigmoid")}
    a, b = x.astype("float64"), y.astype("float64")
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    if ops[0] == "multiply":
        orders, want = [([0, 1], [2])], reference[ops[1]](a * b)
    else:
        orders, want = [([0], [2, 1]), ([0], [1, 2])], reference[ops[0]](a) * b
    for args in orders:
        got = expression([x, y], [((1003,), dtype)], ops, args, [3])
        np.testing.assert_allclose(got[0], want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [*FLOATS, "int32"])
def test_sums_of_products(dtype):
    a, b, c, d = np.random.default_rng(0).integers(-9, 9, (4, 1003)).astype(dtype)
    for outer in ("add", "subtract", "multiply"):
        got = expression(
            [a, b, c, d], [((1003,), dtype)], ["multiply", "multiply", outer], [[0, 1], [2, 3], [4, 5]]
        )
        np.testing.assert_array_equal(got[0], getattr(np, outer)(a * b, c * d))


@pytest.mark.parametrize("dtype", [*FLOATS, "int32"])
@pytest.mark.parametrize(
    "op", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan"]
)
def test_comparison_and_choice(op, dtype):
    a, b, c, d = np.random.default_rng(0).integers(-3, 3, (4, 1003)).astype(dtype)
    if dtype in FLOATS:
        a[::5] = np.nan
    elif op == "isnan":
        pytest.skip("integers are never NaN")
    operands = [a, b][: 1 if op == "isnan" else 2]
    condition = getattr(np, op)(*operands)
    got = expression([a, b, c, d], [((1003,), dtype)], [op, "where"], [range(len(operands)), [4, 2, 3]])
    np.testing.assert_array_equal(got[0], np.where(condition, c, d))
    # The choice may be of another dtype than the comparison.
    x, y = np.random.default_rng(1).normal(size=(2, 1003))
    got = expression([a, b, x, y], [((1003,), "float64")], [op, "where"], [range(len(operands)), [4, 2, 3]])
    np.testing.assert_array_equal(got[0], np.where(condition, x, y))


def test_mixed_dtypes_in_one_chain():
    x = np.arange(-50, 50, dtype="int32")
    y = np.linspace(-1, 1, 100)
    ops = ["cast_float64", "greater", "where", "cast_bool", "cast_int64"]
    args = [[0], [3, 1], [4, 3, 1], [0], [6]]
    got = expression(
        [x, y],
        [((100,), "float64"), ((100,), "bool"), ((100,), "int64")],
        ops,
        args,
        [5, 4, 7],
        [1],
        ["uint8"],
    )
    np.testing.assert_array_equal(got[0], np.maximum(x, y))
    np.testing.assert_array_equal(got[1], x > y)
    np.testing.assert_array_equal(got[2], x != 0)


def test_constants_of_every_dtype():
    for dtype in ALL:
        got = expression([], [((70,), dtype)], ["identity"], [[0]], constants=[1], constant_dtypes=[dtype])[0]
        np.testing.assert_array_equal(got, np.ones(70, dtype))
    got = expression([], [((3,), "int32")], [], [], [0], constants=[1e30], constant_dtypes=["int32"])[0]
    np.testing.assert_array_equal(got, [2**31 - 1] * 3)


def test_outputs_that_store_inputs_constants_and_one_step_twice():
    x = np.arange(3000, dtype="float32")
    got = expression([x], [((3000,), "float32")] * 4, ["negative"], [[0]], [0, 2, 2, 1], [4], ["float32"])
    for have, want in zip(got, (x, -x, -x, np.full(3000, 4)), strict=True):
        np.testing.assert_array_equal(have, want)


def in_place(arrays, ops, args, stores):
    """Runs with the outputs in the memory of the inputs of the same position."""
    n = arrays[0].size
    storages = []
    for array in arrays:
        storages.append(_core.Storage("float32", (n,)))
        storages[-1].write(array)
    buffers = [("storage", "float32", (n,), s) for s in storages]
    flat = [register for step in args for register in (*step, -1, -1, -1)[:3]]
    slots = list(range(len(arrays)))
    attributes = {"ops": ops, "args": flat, "constants": [], "constant_dtypes": [], "stores": stores}
    _core.Program(buffers, [("elementwise", slots, slots, attributes)], [], [], 0, 0).run([])
    return [s.read() for s in storages]


@pytest.mark.parametrize("n", [5, 70_000])
def test_outputs_in_the_memory_of_inputs(n):
    x, y = np.random.default_rng(0).normal(size=(2, n)).astype("float32")
    for got, want in zip(in_place([x, y], [], [], [1, 0]), (y, x), strict=True):
        np.testing.assert_array_equal(got, want)
    got = in_place([x, y], ["add", "subtract", "negative"], [[0, 1], [0, 1], [0]], [2, 3])
    for have, want in zip(got, (x + y, x - y), strict=True):
        np.testing.assert_array_equal(have, want)
    got = in_place([x, y], ["negative", "multiply"], [[1], [0, 2]], [2, 3])
    for have, want in zip(got, (-y, -x * y), strict=True):
        np.testing.assert_array_equal(have, want)


def test_opcode_table_is_covered():
    tested = {
        *UNARY,
        *BINARY,
        "erfinv",
        "lgamma",
        "digamma",
        "power",
        "where",
        "bitwise_not",
        "left_shift",
        "right_shift",
    }
    tested |= {f"bitwise_{name}" for name in ("and", "or", "xor")} | {f"cast_{dtype}" for dtype in ALL}
    tested |= {f"logical_{name}" for name in ("and", "or", "xor", "not")} | {"isnan", "isinf", "isfinite"}
    tested |= {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
    assert set(OPCODES) == tested
    assert OPCODES["add"] == 2
    assert OPCODES["exp"] == 1
    assert OPCODES["where"] == 3


ERRORS = [
    (dict(ops=["frobnicate"], args=[0, -1, -1], stores=[1]), "unknown opcode 'frobnicate'"),
    (dict(ops=["exp"], args=[0, -1], stores=[1]), "1 ops need 3 args, got 2"),
    (dict(ops=["exp"], args=[1, -1, -1], stores=[1]), "exp: argument 0 is register 1"),
    (dict(ops=["exp"], args=[-1, -1, -1], stores=[1]), "exp: argument 0 is register -1"),
    (dict(ops=["exp"], args=[0, 0, -1], stores=[1]), "exp: argument 1 is register 0"),
    (dict(ops=["exp"], args=[0, -1, -1], stores=[2]), "output 0 stores register 2"),
    (dict(ops=["exp"], args=[0, -1, -1], stores=[]), "1 outputs, but 0 stores"),
    (dict(ops=["isnan"], args=[0, -1, -1], stores=[1]), "is float32, but the register it stores is bool"),
    (dict(ops=["bitwise_not"], args=[0, -1, -1], stores=[1]), "bitwise_not has no meaning for float32"),
    (dict(ops=["where"], args=[0, 0, 0], stores=[1]), "the condition is float32, not bool"),
    (
        dict(ops=["add"], args=[0, 1, -1], stores=[2], constants=[1.0], constant_dtypes=["int32"]),
        "add: operands of dtypes float32 and int32",
    ),
    (dict(ops=[], args=[], stores=[0], constants=[1.0]), "1 constants, but 0 dtypes"),
    (dict(ops=[], args=[], stores=[0], constants=[1.0], constant_dtypes=["half"]), "unknown dtype 'half'"),
    (dict(ops=[], args=[]), "attribute 'stores' is missing"),
]


@pytest.mark.parametrize(("attributes", "message"), ERRORS, ids=lambda e: e if isinstance(e, str) else "")
def test_malformed_expressions(attributes, message):
    attributes = {"constants": [], "constant_dtypes": [], **attributes}
    with pytest.raises(ValueError, match=message):
        run1("elementwise", [np.ones(3, "float32")], ((3,), "float32"), **attributes)


@pytest.mark.parametrize(("shape", "out"), [((4,), (3,)), ((3, 1), (3,)), ((2, 3), (1, 3))])
def test_inputs_that_do_not_broadcast(shape, out):
    with pytest.raises(ValueError, match="does not broadcast to the output's"):
        expression([np.ones(shape, "float32")], [(out, "float32")], ["exp"], [[0]])


def test_outputs_of_different_shapes():
    with pytest.raises(ValueError, match="outputs of shapes"):
        expression([], [((3,), "bool"), ((4,), "bool")], [], [], [0, 0], [1], ["bool"])


def test_no_output_and_too_many():
    with pytest.raises(ValueError, match="needs an output"):
        expression([], [], [], [], [])
    with pytest.raises(ValueError, match="at most 256"):
        expression([np.ones(1)] * 257, [((1,), "float64")], ["exp"], [[0]])


STREAMED = (48 << 20) // 4 + 37  # floats that are stored past the caches


def test_results_that_leave_the_caches():
    x = np.arange(STREAMED, dtype="float32")
    empty = np.zeros_like(x)
    attributes = {"constants": [1.0], "constant_dtypes": ["float32"]}
    y, z = run_in_place(
        "elementwise",
        [x, empty, empty],
        [0],
        [1, 2],
        ops=["add"],
        args=[0, 1, -1],
        stores=[2, 0],
        **attributes,
    )
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(z, x)


def test_updates_in_place():
    x, y = np.arange(70_001, dtype="float32"), np.ones(70_001, "float32")
    # x + y is stored over x, which the second step still reads; the second step's result is y's last use.
    new = run_in_place(
        "elementwise",
        [x, y],
        [0, 1],
        [0, 1],
        ops=["add", "multiply"],
        args=[0, 1, -1, 0, 1, -1],
        stores=[2, 3],
        constants=[],
        constant_dtypes=[],
    )
    np.testing.assert_array_equal(new[0], x + y)
    np.testing.assert_array_equal(new[1], x * y)
