import struct

import numpy as np
import pytest
from fake_model import Model
from hypothesis import given
from hypothesis import strategies as st

from kcore.callbacks import TensorBoard
from kcore.callbacks.tensorboard import EventWriter, crc32c


def fields(message):
    """A protocol buffer's (number, value) pairs."""
    position = 0

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        key = varint()
        number, kind = key >> 3, key & 7
        if kind == 0:
            yield number, varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or varint()
            raw = message[position : position + size]
            position += size
            yield number, struct.unpack({1: "<d", 5: "<f"}[kind], raw)[0] if kind != 2 else raw


def unmasked(crc):
    rotated = (crc - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def read(directory):
    """(tag, step, value) of the one event file in a directory, its checksums verified."""
    (path,) = directory.iterdir()
    content, events = path.read_bytes(), []
    while content:
        (size, size_crc), event = struct.unpack("<QI", content[:12]), content[12:]
        event, (event_crc,), rest = (
            event[:size],
            struct.unpack("<I", event[size : size + 4]),
            event[size + 4 :],
        )
        assert unmasked(size_crc) == crc32c(content[:8])
        assert unmasked(event_crc) == crc32c(event)
        events.append(dict(fields(event)))
        content = rest
    assert events[0][3] == b"brain.Event:2"
    entries = []
    for event in events[1:]:
        entry = dict(fields(dict(fields(event[5]))[1]))
        entries.append((entry[1].decode(), event[2], entry[2] if 2 in entry else dict(fields(entry[5]))))
    return entries


def test_checksum():
    assert crc32c(b"123456789") == 0xE3069283  # the catalogue's check value
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


def test_epochs(tmp_path):
    logs = [{"loss": 1.5, "val_loss": 2.0, "lr": 0.1}, {"loss": 0.5, "val_loss": 1.0}]
    Model().fit([TensorBoard(tmp_path)], logs)
    rate = pytest.approx(0.1)
    assert read(tmp_path / "train") == [
        ("epoch_loss", 0, 1.5),
        ("epoch_learning_rate", 0, rate),
        ("epoch_loss", 1, 0.5),
        ("epoch_learning_rate", 1, rate),
    ]
    assert read(tmp_path / "validation") == [("epoch_loss", 0, 2.0), ("epoch_loss", 1, 1.0)]


@pytest.mark.parametrize(("freq", "steps"), [("batch", [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6]), ("epoch", [])])
def test_batches(tmp_path, freq, steps):
    Model().fit([TensorBoard(tmp_path, update_freq=freq)], [{"loss": 1.0}] * 2, batches=3)
    assert [step for tag, step, _ in read(tmp_path / "train") if tag == "batch_loss"] == steps


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=20))
def test_histograms(tmp_path_factory, values):
    directory = tmp_path_factory.mktemp("events")
    writer = EventWriter(str(directory))
    writer.histogram("w", 300, np.array([*values, np.nan, np.inf]))
    writer.close()
    ((tag, step, histogram),) = read(directory)
    assert (tag, step) == ("w", 300)
    limits, counts = np.frombuffer(histogram[6]), np.frombuffer(histogram[7])
    assert len(limits) == len(counts)
    assert histogram[3] == counts.sum() == len(values)
    np.testing.assert_allclose(histogram[4], np.sum(values), rtol=1e-9, atol=1e-6)
    if values:
        assert (histogram[1], histogram[2]) == (min(values), max(values))
        assert limits[-1] >= max(values) * (1 - 1e-12 * np.sign(max(values)))


def test_weights_every_few_epochs(tmp_path):
    class Layer:
        name = "dense"

        def get_weights(self):
            return [np.arange(6.0).reshape(2, 3), np.zeros(3)]

    model = Model()
    model.layers = [Layer()]
    model.fit([TensorBoard(tmp_path, histogram_freq=2)], [{"loss": 1.0}] * 3)
    found = [(tag, step) for tag, step, _ in read(tmp_path / "train") if tag.startswith("dense")]
    assert found == [
        ("dense/weight_0", 0),
        ("dense/weight_1", 0),
        ("dense/weight_0", 2),
        ("dense/weight_1", 2),
    ]


def test_two_runs_have_two_files(tmp_path):
    board = TensorBoard(tmp_path)
    for _ in range(2):
        Model().fit([board], [{"loss": 1.0}])
    assert len(list((tmp_path / "train").iterdir())) == 2


def test_arguments(tmp_path):
    with pytest.warns(UserWarning, match=r"\['write_images'\] are ignored"):
        TensorBoard(tmp_path, write_images=True, embeddings_freq=0)
    with pytest.raises(ValueError, match="update_freq"):
        TensorBoard(tmp_path, update_freq="hour")
