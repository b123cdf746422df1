"""Runs: jobs for the worker process, what becomes of their results, what must be installed before."""
