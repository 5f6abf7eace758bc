"""Computes with numpy in, numpy out: masks, statistics, pictures and files of pixels."""
