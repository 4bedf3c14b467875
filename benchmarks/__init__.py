"""Tricorn and its peers, measured side by side in one run: ``python -m benchmarks``.

Wall-clock figures mean little alone: they belong to one machine in one minute. Only
ratios between servers that took turns in the same run are compared and judged.
"""
