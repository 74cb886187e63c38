import torch

from qkvdocs.clinic import Attention, assert_healthy, weights_from

layer = torch.nn.MultiheadAttention(32, 4, batch_first=True)
q, k, v = zip(layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True)
assert_healthy(Attention(lambda x: layer(x, x, x)[0], weights_from(q, k, v, layer.out_proj, n_heads=4)))
