import csv
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from fake_model import Model

from kcore.callbacks import BaseLogger, CallbackList, CSVLogger, History, ProgbarLogger, RemoteMonitor

LOGS = [{"loss": 0.5, "accuracy": 0.75}, {"loss": 0.25, "accuracy": 1.0}]


def test_history():
    history = Model().fit([], LOGS)
    assert history.epoch == [0, 1]
    assert history.history == {"loss": [0.5, 0.25], "accuracy": [0.75, 1.0]}
    callbacks = CallbackList([history])
    callbacks.on_train_begin()
    assert isinstance(history, History)
    assert history.history == {}


def test_base_logger_weighs_batches_by_size():
    logger = BaseLogger(stateful_metrics=["accuracy"])
    callbacks = CallbackList([logger], metrics=["loss", "accuracy"])
    callbacks.on_epoch_begin(0)
    callbacks.on_batch_end(0, {"batch": 0, "size": 3, "loss": 1.0, "accuracy": 0.1})
    callbacks.on_batch_end(1, {"batch": 1, "size": 1, "loss": 5.0, "accuracy": 0.9})
    logs = {}
    callbacks.on_epoch_end(0, logs)
    assert logs == {"loss": 2.0, "accuracy": 0.9}


@pytest.mark.parametrize("mode", ["samples", "steps"])
def test_progress(capsys, mode):
    Model().fit(
        [ProgbarLogger(mode, stateful_metrics=["loss"])],
        [{**logs, "val_loss": 9.0, "other": 1.0} for logs in LOGS],
        samples=8,
        steps=2,
        verbose=1,
        metrics=["loss", "accuracy", "val_loss"],
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1/2"
    count = "8/8" if mode == "samples" else "2/2"
    assert lines[1].startswith(f"{count} [{'=' * 30}] - 0s ")
    assert lines[1].endswith("loss: 0.5000 - accuracy: 0.7500 - val_loss: 9.0000")
    assert lines[3].endswith("loss: 0.2500 - accuracy: 1.0000 - val_loss: 9.0000")
    assert len(lines) == 4


def test_the_last_line_shows_the_epochs_values_not_the_batches(capsys):
    logger = ProgbarLogger("steps")
    callbacks = CallbackList([logger], steps=2, verbose=1, epochs=1)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    callbacks.on_train_batch_end(0, {"loss": 10.0})
    callbacks.on_train_batch_end(1, {"loss": 20.0})
    callbacks.on_epoch_end(0, {"loss": 3.0})
    assert capsys.readouterr().out.rstrip().endswith("loss: 3.0000")


def test_progress_of_unknown_length(capsys):
    Model().fit([ProgbarLogger("steps")], LOGS[:1], steps=None, verbose=1)
    assert capsys.readouterr().out.startswith("2/2 [====")


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (2, 4)])
def test_other_loudness(capsys, verbose, lines):
    Model().fit([ProgbarLogger("steps")], LOGS, steps=2, verbose=verbose)
    assert len(capsys.readouterr().out.splitlines()) == lines


def test_progress_of_evaluation_and_prediction(capsys):
    callbacks = CallbackList([ProgbarLogger("steps")], steps=2, verbose=1)
    for kind in ("test", "predict"):
        getattr(callbacks, f"on_{kind}_begin")()
        for batch in range(2):
            value = {"loss": 1.0} if kind == "test" else {"outputs": np.ones(2)}
            getattr(callbacks, f"on_{kind}_batch_end")(batch, value)
        getattr(callbacks, f"on_{kind}_end")({"loss": 1.0})
    test, predict = capsys.readouterr().out.splitlines()
    assert test.endswith("loss: 1.0000")
    assert predict.startswith("2/2 [")
    assert predict.endswith("step")


def test_validation_within_fit_draws_no_bar_of_its_own(capsys):
    callbacks = CallbackList([ProgbarLogger("steps")], steps=1, verbose=1)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    callbacks.on_train_batch_end(0, {"loss": 1.0})
    callbacks.on_test_begin()
    callbacks.on_test_batch_end(0, {"loss": 7.0})
    callbacks.on_test_end({"loss": 7.0})
    callbacks.on_epoch_end(0, {"loss": 1.0, "val_loss": 7.0})
    callbacks.on_train_end()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_progress_counts_only_what_there_is():
    with pytest.raises(ValueError, match="count_mode"):
        ProgbarLogger("epochs")


def read(path, **options):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, **options))


def test_csv(tmp_path):
    path = tmp_path / "log.csv"
    Model().fit([CSVLogger(path)], LOGS)
    assert path.read_text().splitlines()[0] == "epoch,accuracy,loss"
    assert read(path)[1] == {"epoch": "1", "accuracy": "1.0", "loss": "0.25"}
    Model().fit([CSVLogger(path, append=True)], LOGS[:1])
    assert [row["epoch"] for row in read(path)] == ["0", "1", "0"]
    Model().fit([CSVLogger(path, separator=";")], LOGS[:1])
    assert read(path, delimiter=";") == [{"epoch": "0", "accuracy": "0.75", "loss": "0.5"}]


def test_csv_with_values_that_come_and_go(tmp_path):
    path = tmp_path / "log.csv"
    logs = [{"loss": 1.0}, {"loss": 0.5, "val_loss": 2.0, "late": 1}, {"val_loss": 1.0}]
    Model().fit([CSVLogger(path)], logs, do_validation=True, metrics=["loss", "val_loss"])
    assert [(row["loss"], row["val_loss"]) for row in read(path)] == [
        ("1.0", "NA"),
        ("0.5", "2.0"),
        ("NA", "1.0"),
    ]


def test_csv_is_complete_after_every_epoch(tmp_path):
    path = tmp_path / "log.csv"
    Model().fit([CSVLogger(path)], LOGS, die_after=0)
    assert len(read(path)) == 1


@pytest.fixture
def server():
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append((self.path, self.headers, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", received
    http.shutdown()
    thread.join()
    http.server_close()


def test_remote_monitor(server):
    root, received = server
    logs = [{"loss": np.float32(0.5)}]
    Model().fit(
        [RemoteMonitor(root, path="/p", headers={"X-Key": "k"}), RemoteMonitor(root, send_as_json=True)], logs
    )
    (path, headers, form), (_, json_headers, body) = received
    assert path == "/p"
    assert headers["X-Key"] == "k"
    assert json.loads(urllib.parse.parse_qs(form)["data"][0]) == {"epoch": 0, "loss": 0.5}
    assert json_headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"epoch": 0, "loss": 0.5}


def test_a_server_that_is_away_is_a_warning(server):
    with pytest.warns(UserWarning, match="Could not reach"):
        Model().fit([RemoteMonitor("http://127.0.0.1:1")], LOGS[:1])
    with pytest.raises(ValueError, match="http"):
        RemoteMonitor("file:///etc")
