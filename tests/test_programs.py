"""The Python of the documentation runs: each page's blocks, in order, are one program, and print what the page shows.

A comment `<!-- replies … -->` before a block holds what the scripted server replies to its models, in order, with `---`
between replies. A block ```` ```text title="Output" ```` after it is what it prints. `<!-- program -->` begins another
program. A block whose first line is `# agent.py` is that file too; `# server.py` is a file only, which others start.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import postgres, processes
from tests.scripted_server import ScriptedServer
from tests.test_docs import DOCUMENTS, ROOT

_BLOCK = re.compile(
    r"^<!-- (?P<new>program) -->$"
    r"|^<!-- replies\n(?P<replies>.*?)^-->$"
    r"|^```text title=\"Output\"\n(?P<output>.*?)^```$"
    r"|^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_END = "\x1e\n"  # printed after each block


@dataclass
class Program:
    """The blocks of a page that are one program."""

    page: str
    number: int
    blocks: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    outputs: dict[int, str] = field(default_factory=dict)

    def source(self) -> str:
        """Write it as a file that says where each block ends, and runs the tests that it defines."""
        tests = "for _name, _run in list(globals().items()):\n    if _name.startswith('test_'):\n        _run()\n"
        futures = {line for block in self.blocks for line in block.splitlines() if line.startswith("from __future__")}
        own = [block if not block.startswith("# server.py\n") else "" for block in self.blocks]
        blocks = [re.sub(r"^from __future__ .*$", "", block, flags=re.MULTILINE) for block in own]
        ended = [f"{block}\nif __name__ == '__main__':\n    print(end={_END!r}, flush=True)\n" for block in blocks]
        return "\n".join([*sorted(futures), *ended, tests])


def programs() -> Iterator[Program]:
    """All programs of README and docs."""
    for page in DOCUMENTS:
        program = Program(page, 1)
        for found in _BLOCK.finditer((ROOT / page).read_text(encoding="utf-8")):
            if found["new"] and program.blocks:
                yield program
                program = Program(page, program.number + 1)
            elif found["replies"] is not None:
                program.replies += [reply.strip("\n") for reply in found["replies"].split("\n---\n")]
            elif found["output"] is not None:
                program.outputs[len(program.blocks) - 1] = found["output"]
            elif found["code"] is not None:
                program.blocks.append(textwrap.dedent(found["code"]))
        if program.blocks:
            yield program


PROGRAMS = list(programs())


def run_file(script: Path, environment: dict[str, str]) -> None:
    """Run a file as Python does where it stands."""
    os.environ.update(environment)
    os.chdir(script.parent)
    sys.argv, sys.path[:0] = [script.name], [str(script.parent)]
    runpy.run_path(script.name, run_name="__main__")


@pytest.mark.parametrize("program", PROGRAMS, ids=[f"{each.page}:{each.number}" for each in PROGRAMS])
def test_it_runs(program: Program, tmp_path: Path) -> None:
    """A program runs without warnings, prints what the page shows, and asks the models as often as they reply."""
    for block in program.blocks:
        if name := re.match(r"# ([\w.]+\.py)\n", block):
            (tmp_path / name[1]).write_text(block, encoding="utf-8")
    script = tmp_path / "page.py"
    script.write_text(program.source(), encoding="utf-8")
    with ExitStack() as stack:
        server = stack.enter_context(ScriptedServer(program.replies))
        environment = {**server.environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
        if "DATABASE_URL" in script.read_text(encoding="utf-8"):
            if missing := postgres.absence():
                pytest.skip(missing)
            environment["DATABASE_URL"] = stack.enter_context(postgres.running_server())
        if any('if __name__ == "__main__":' in block for block in program.blocks):  # it starts processes that import it
            command = [sys.executable, "-W", "error", script.name]
            whole = {**os.environ, **environment}
            ran = subprocess.run(command, cwd=tmp_path, env=whole, capture_output=True, text=True, check=False)
            done = processes.Ended(ran.returncode, ran.stdout, ran.stderr)
        else:
            done = processes.run(run_file, script, environment)
        asked = len(server.requests)
    assert done.code == 0, done.err[-3000:]
    printed = done.out.split(_END)
    for number, output in program.outputs.items():
        assert printed[number].rstrip() == output.rstrip()
    assert asked == len(program.replies)


def test_every_block_is_run() -> None:
    """No Python stands in a block that is not run, and programs of pages are found."""
    languages = {
        language
        for page in DOCUMENTS
        for language in re.findall(r"^ *```(\w+)", (ROOT / page).read_text(), re.MULTILINE)
    }
    assert not languages & {"py", "python3", "pycon"}
    count = sum(len(re.findall(r"^ *```python$", (ROOT / page).read_text(), re.MULTILINE)) for page in DOCUMENTS)
    assert sum(len(program.blocks) for program in PROGRAMS) == count > 30
