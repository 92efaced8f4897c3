"""What figures, tables and the paper call cells and optimizers."""

CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "tanh RNN", "rnn_relu": "ReLU RNN"}
VARIANT_NAMES = {
    **{"gru_v1": "GRU, 2014", "mgu": "MGU", "lstm_peephole": "LSTM, peepholes", "lstm_cifg": "LSTM, f = 1−i"},
    **{"lstm_nfg": "LSTM, no forget gate", "lstm_no_recurrence": "LSTM, gates see x only"},
    **{"mingru": "minGRU", "minlstm": "minLSTM"},
    **{"diagonal_signed": "diagonal, (−1, 1)", "diagonal_positive": "diagonal, (0, 1)"},
}
OPTIMIZER_NAMES = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam", "rmsprop": "RMSprop"}


def cell_name(cell: str) -> str:
    """What a cell is called; one without an entry by its own name."""
    return (CELL_NAMES | VARIANT_NAMES).get(cell, cell)


def optimizer_name(optimizer: str) -> str:
    """What an optimizer is called; one without an entry by its own name."""
    return OPTIMIZER_NAMES.get(optimizer, optimizer)
