"""Names of array types that many modules use."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
