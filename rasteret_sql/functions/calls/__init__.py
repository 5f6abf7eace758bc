"""Runs the code under each SQL function: columns of Arrow in, a column of Arrow out.

A declaration names its function here as text (`Udf.run`), so that what reads, builds and searches is imported when it
is first called, not when a connection is opened.
"""
