"""Batches over several machines by Dask: `batch_on_cluster` runs where the command does, `case_task` on the workers."""
