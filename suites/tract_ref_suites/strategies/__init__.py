"""Shared strategies: dims, shapes, tensors, windows, chunkings, models."""
