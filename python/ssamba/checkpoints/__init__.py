"""Weights in files: tensors in, tensors out."""
