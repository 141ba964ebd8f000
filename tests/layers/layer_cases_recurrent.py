"""Rows of recurrent layers and wrappers."""

from layer_checks import LayerCase

from kcore import layers as L

STEPS = [(3, 4, 2)]
WEIGHTS = ["kernel", "recurrent_kernel", "bias"]


def stacked():
    return L.RNN([L.LSTMCell(2, name="below"), L.GRUCell(3, name="above")], return_sequences=True)


def bidirectional(*prefixes):
    return [f"{prefix}/{name}" for prefix in prefixes for name in WEIGHTS]


CASES = [
    LayerCase("simple_rnn", lambda: L.SimpleRNN(2), STEPS, [1], weights=WEIGHTS, mask="used"),
    LayerCase(
        "simple_rnn_sequences",
        lambda: L.SimpleRNN(2, use_bias=False, return_sequences=True, go_backwards=True),
        STEPS,
        [1],
        weights=WEIGHTS[:2],
        mask="kept",
    ),
    LayerCase("lstm", lambda: L.LSTM(2), STEPS, [1], weights=WEIGHTS, mask="used"),
    LayerCase(
        "lstm_state",
        lambda: L.LSTM(2, return_sequences=True, return_state=True, recurrent_activation="tanh"),
        STEPS,
        [1],
        weights=WEIGHTS,
        mask="kept",
    ),
    LayerCase(
        "lstm_dropout",
        lambda: L.LSTM(2, dropout=0.3, recurrent_dropout=0.4, return_sequences=True),
        STEPS,
        [1],
        weights=WEIGHTS,
        mask="kept",
        random=True,
    ),
    LayerCase("gru", lambda: L.GRU(2), STEPS, [1], weights=WEIGHTS, mask="used"),
    LayerCase(
        "gru_reset_after",
        lambda: L.GRU(2, reset_after=True, unroll=True),
        STEPS,
        weights=WEIGHTS,
        mask="used",
    ),
    LayerCase(
        "gru_dropout",
        lambda: L.GRU(2, dropout=0.3, recurrent_dropout=0.4),
        STEPS,
        weights=WEIGHTS,
        mask="used",
        random=True,
    ),
    LayerCase("rnn_of_cells", stacked, STEPS, [1], weights=bidirectional("below", "above"), mask="kept"),
    LayerCase(
        "bidirectional",
        lambda: L.Bidirectional(L.LSTM(2, return_sequences=True, name="inner")),
        STEPS,
        [1],
        weights=bidirectional("forward_inner", "backward_inner"),
        mask="kept",
    ),
    LayerCase(
        "bidirectional_list",
        lambda: L.Bidirectional(L.GRU(2, return_state=True, name="inner"), merge_mode=None),
        STEPS,
        [1],
        weights=bidirectional("forward_inner", "backward_inner"),
        mask="used",
    ),
    LayerCase(
        "bidirectional_dropout",
        lambda: L.Bidirectional(L.SimpleRNN(2, dropout=0.5, name="inner"), merge_mode="sum"),
        STEPS,
        [1],
        weights=bidirectional("forward_inner", "backward_inner"),
        mask="used",
        random=True,
    ),
    LayerCase(
        "time_distributed_dense",
        lambda: L.TimeDistributed(L.Dense(2, activation="tanh")),
        STEPS,
        [1],
        weights=["kernel", "bias"],
        mask="kept",
    ),
    LayerCase(
        "time_distributed_conv",
        lambda: L.TimeDistributed(L.Conv1D(2, 2)),
        [(2, 3, 4, 2)],
        [1],
        weights=["kernel", "bias"],
        mask="kept",
    ),
    LayerCase(
        "time_distributed_dropout",
        lambda: L.TimeDistributed(L.Dropout(0.5)),
        STEPS,
        [1],
        mask="kept",
        random=True,
    ),
    LayerCase(
        "time_distributed_batch_normalization",
        lambda: L.TimeDistributed(L.BatchNormalization()),
        STEPS,
        [1],
        weights=["gamma", "beta", "moving_mean", "moving_variance"],
        mask="kept",
        random="statistics",
    ),
]
