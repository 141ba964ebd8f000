"""The ``K`` namespace of Keras 2: thin names over ops, for scripts that import ``backend``."""

from kcore.backend.configuration import *
from kcore.backend.control import *
from kcore.backend.math import *
from kcore.backend.nn import *
from kcore.backend.randoms import *
from kcore.backend.shapes import *
from kcore.backend.tensors import *
