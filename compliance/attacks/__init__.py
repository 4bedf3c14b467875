"""Attacks on a running server, and what they cost everybody else."""
