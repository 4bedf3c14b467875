"""Pytest plugins and stand-ins that put Tricorn where an upstream test expects another server.

They run in the environment of the upstream project, with this repository on PYTHONPATH, and hold
none of the upstream's code: they replace its classes from outside.
"""
