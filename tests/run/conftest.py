"""One thread: the sizes are small, and a second thread only waits where cores are shared."""

import torch

torch.set_num_threads(1)
