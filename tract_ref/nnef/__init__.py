"""The NNEF dialect: syntax, tensors, archives, reader, writer."""
