"""Describes scenes as values, whatever they come from: a scene with its files, a source of scenes, ranges of dates."""
