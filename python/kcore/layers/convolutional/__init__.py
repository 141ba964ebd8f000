"""Convolutions, and layers that pad, crop and resize."""

from kcore.layers.convolutional.convolution import *
from kcore.layers.convolutional.resizing import *
from kcore.layers.convolutional.separable import *
