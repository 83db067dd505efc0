"""Tensors in, tensors out: arithmetic that families and training share.

cross_entropy   the loss of a linear head, without the table of all its logits
greedy          greedy decoding of a batch, from which finished rows are removed
low_rank        a linear layer and its low-rank adapter as one function
widths          widths of short windows
"""
