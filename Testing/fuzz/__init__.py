"""A bounded, seeded fuzzer: bytes and documents go in at each door, only errors a user can act on come out.

    cases      a small folder of files (also pipes, links, files without end) and the arguments of a command
    mutators   bytes, text and numbers gone wrong; json_mutators, dicom_mutators: the same for documents and elements
    doors      one door each: its intact cases, its hostile ones, how its cases are changed, how it is opened
    child      the process that opens cases under a limit of memory and tells what came of each
    runner     feeds children, watches the time, keeps what failed
    flips      single bit flips in compressed voxels: none may be accepted with other voxels

`make fuzz` runs everything; `PYTHONPATH=Testing:. python -m fuzz nrrd --cases 500 --seed 7` a part. What fails is kept
under `.cache/fuzz/<door>/` and replayed by `python -m fuzz --replay FILE`.
"""
