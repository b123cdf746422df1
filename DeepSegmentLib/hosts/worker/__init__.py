"""A process of its own for the network, so that the owner's window never waits and a crash costs nothing.

`client.WorkerClient` is the owner's side, without threads; `server` is the process,
`python -m DeepSegmentLib.hosts.worker`. Between them go short JSON messages over an authenticated local connection;
voxels go through memory-mapped files.
"""
