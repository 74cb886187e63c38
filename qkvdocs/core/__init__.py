"""The mathematics of attention: projections, heads, masks, scores, softmax, the KV cache."""
