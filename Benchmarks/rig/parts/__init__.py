"""One module for each part of the benchmark; each has `run(stage) -> Outcome`."""

from . import idle, large, memory, plain, stream

PARTS = {"plain": plain, "stream": stream, "large": large, "idle": idle, "memory": memory}
