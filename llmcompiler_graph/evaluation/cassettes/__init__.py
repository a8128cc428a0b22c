"""Cassettes: what models and tools said to a system and how long they took, to be played again on a virtual clock.

    system, cassette  --recording-->  the same system, live; each answer adds a take to the file
    system, cassette  --replaying-->  the same system, asking the cassette alone; its answers say their virtual seconds

A cassette is a JSONL file. A take is all that was asked for one answer of one system: a line that says which, then a
line for each reply of the model and each result of a tool, in the order they were asked for, written together once the
answer is there. The last take for a sample and a model counts; a last line that a killed run has torn is left out.

Replies are found by what was asked: the messages without their ids, the names of the tools, stop words and settings
such as a grammar; results by tool and arguments. What is asked several times is answered in the order of the recording.
Streamed replies are streamed again, each piece at its time; what failed fails again, and what was given up is waited
for until it is given up again. A tool that asked the model itself is run again, its model being the cassette: so its
calls and tokens count. Nothing else is run, and no network is needed.
"""

from llmcompiler_graph.evaluation.cassettes.systems import recording, replaying
from llmcompiler_graph.evaluation.cassettes.tape import Cassette, CassetteError

__all__ = ("Cassette", "CassetteError", "recording", "replaying")
