"""Declares every SQL function once: name, arguments, types, defaults, words, example, kernel and macro file."""
