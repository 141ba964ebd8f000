"""The differentiable ops, by family, under the names of ``keras.ops``.

Every op takes symbolic tensors, and then returns symbolic tensors, or NumPy arrays and numbers, and then
computes at once and returns NumPy.
"""

from kcore.graph.primitives import cast, reshape
from kcore.ops import image, random
from kcore.ops.convolution import *
from kcore.ops.core import *
from kcore.ops.creation import *
from kcore.ops.diagonals import *
from kcore.ops.elementwise import *
from kcore.ops.indexing import *
from kcore.ops.linalg import *
from kcore.ops.movement import *
from kcore.ops.nn import *
from kcore.ops.normalization import *
from kcore.ops.ordering import *
from kcore.ops.pooling import *
from kcore.ops.reduction import *
from kcore.ops.statistics import *
from kcore.ops.windows import *
