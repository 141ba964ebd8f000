"""Cells, and the layers that run them over time."""

from kcore.layers.recurrent.cells import *
from kcore.layers.recurrent.gated import *
from kcore.layers.recurrent.rnn import *
