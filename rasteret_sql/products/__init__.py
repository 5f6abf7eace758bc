"""Knows the conventions of products: common names of bands, spectral indices, cloud masks, scales."""
