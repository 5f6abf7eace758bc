"""Every SQL function declared once: name, arguments, types, defaults, words, example, kernel and macro file."""
