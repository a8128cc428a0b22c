"""A Hypothesis machine drives the unit with any events in any order, beside a plain model of its rules.

UNIT_EXAMPLES=10000 pytest --timeout=0 --hypothesis-seed=$RANDOM tests/core/schedule/test_unit_properties.py
"""

import os
from collections.abc import Iterable
from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llmcompiler_graph.core.errors import ObservationPathError
from llmcompiler_graph.core.language.plan import Observation, Task, ToolSpec
from llmcompiler_graph.core.language.references import ALL, JSON, Path, Reference, Value
from llmcompiler_graph.core.language.substitution import fan_out, substitute
from llmcompiler_graph.core.schedule.instructions import Finished, Instruction, Release, Stalled, Start
from llmcompiler_graph.core.schedule.unit import TaskFetchingUnit

READ, PEEK, SEND, WRITE, ASK, PLAIN = TOOLS = ("read", "peek", "send", "write", "ask", "plain")
SPECS = (
    ToolSpec(READ, read_only=True),
    ToolSpec(PEEK, read_only=True),
    ToolSpec(SEND, destructive=True),
    ToolSpec(WRITE, read_only=False),
    ToolSpec(ASK),
)
REPEATABLE, EFFECTS, HELD = {READ, PEEK}, {SEND, WRITE}, {PEEK, SEND, WRITE, ASK}
Call = tuple[int, int | None]
"""A task and which of its calls."""

values: list[JSON] = [0, ["x"], ["x", 1], ["x", 1, 2], []]
observations = st.sampled_from([*(Observation("done", value) for value in values), Observation("failed", error="!")])
limits = st.none() | st.integers(1, 3)


class Unit(RuleBasedStateMachine):
    """Tasks may depend on any task known by then, whatever its index: plan order is the order of adding."""

    @initialize(indices=st.permutations(range(1, 57)), limit=limits, reading=limits, sending=limits, plain=limits)
    def begin(
        self, indices: list[int], limit: int | None, reading: int | None, sending: int | None, plain: int | None
    ) -> None:
        """Draw the limits, and indices in an order that says nothing."""
        self.fresh = indices
        self.limit = limit
        self.limits = {t: n for t, n in ((READ, reading), (SEND, sending), (PLAIN, plain)) if n is not None}
        self.unit = TaskFetchingUnit(SPECS, held=[PEEK, ASK], max_concurrency=limit, tool_concurrency=self.limits)
        self.tasks: dict[int, Task] = {}  # in plan order
        self.observed: dict[int, Observation] = {}
        self.unusable: list[int] = []  # rejected before they came
        self.skips: set[int] = set()  # that some event has to skip
        self.released: dict[int, int] = {}  # index -> when
        self.under_way: list[Call] = []
        self.made: set[Call] = set()  # calls that were started and must not be again
        self.asleep: dict[int, list[Call]] = {}  # suspended, not claimed since
        self.unserved: dict[int, list[Call]] = {}  # equal to a suspended one, not claimed since
        self.claimed: set[int] = set()
        self.abandoned: set[Call] = set()
        self.stalled: dict[int, int] = {}  # index -> the cause it was said to be stalled by
        self.makers: dict[str, Call] = {}  # equal calls -> the one that was made, if nothing has changed since
        self.begun: dict[Call, int] = {}  # when a call was started last: a suspended one reads anew
        self.gave: dict[Call, Observation] = {}  # what a call gave
        self.given: dict[str, list[tuple[int, Observation]]] = {}  # equal calls -> since when it is known, and what
        self.changes: list[int] = []  # when calls with effects returned, or were known to have
        self.known_since: dict[str, int] = {}  # equal calls -> when a restored task brought their value
        self.resolved: dict[int, dict[Call, dict[str, JSON]]] = {}  # index -> its calls, once released
        self.now = 0

    # -- events -----------------------------------------------------------------------------------------------

    def known(self) -> list[int]:
        """What may be referred to."""
        return [*self.tasks, *(n for n in self.observed if n not in self.tasks)]

    def arguments(self, index: int, data: st.DataObject) -> tuple[dict[str, Value], tuple[int, ...]]:
        """Draw arguments that refer to known tasks in every way, and tasks to come after."""
        known = [n for n in self.known() if n != index][-8:]
        needs = data.draw(st.lists(st.sampled_from(known), max_size=2, unique=True)) if known else []
        how = [data.draw(st.sampled_from(["value", "elements", "after", "path"])) for _ in needs]
        paths: dict[str, Path] = {"value": (), "elements": (ALL,), "path": (0,)}
        arguments: dict[str, Value] = {"x": data.draw(st.integers(0, 1))}
        arguments |= {
            f"x{position}": Reference(n, paths[kind])
            for position, (n, kind) in enumerate(zip(needs, how, strict=True))
            if kind != "after"
        }
        return arguments, tuple(n for n, kind in zip(needs, how, strict=True) if kind == "after")

    @rule(data=st.data(), tool=st.sampled_from(TOOLS), repaired=st.booleans())
    def add(self, data: st.DataObject, tool: str, repaired: bool) -> None:
        """A task comes, or replaces one that could not be read."""
        index = self.unusable.pop() if repaired and self.unusable else self.fresh.pop()
        arguments, after = self.arguments(index, data)
        self.tasks[index] = Task(index, tool, arguments, after=after)
        self.observed.pop(index, None)
        self.take(self.unit.add(self.tasks[index]))

    @rule(tool=st.sampled_from(TOOLS), xs=st.lists(st.integers(0, 1), min_size=2, max_size=4))
    @precondition(lambda self: len(self.fresh) > 44)
    def add_several(self, tool: str, xs: list[int]) -> None:
        """Tasks come that need nothing, some of them equal: more than there are slots."""
        for x in xs:
            index = self.fresh.pop()
            self.tasks[index] = Task(index, tool, {"x": x})
            self.take(self.unit.add(self.tasks[index]))

    @rule(data=st.data())
    @precondition(lambda self: self.under_way)
    def finish(self, data: st.DataObject) -> None:
        """A call returns or raises."""
        self.end(data.draw(st.sampled_from(self.under_way)), data.draw(observations))

    def end(self, call: Call, observation: Observation) -> None:
        """Report what a call gave."""
        self.under_way.remove(call)
        if self.tasks[call[0]].tool in EFFECTS:
            self.change(self.now + 1)
        self.gave[call] = observation
        self.given.setdefault(self.key(call), []).append((self.begun[call], observation))
        self.take(self.unit.finished(*call, observation))

    def change(self, when: int) -> None:
        """What was read before is not to be relied on."""
        self.changes.append(when)
        self.makers.clear()
        self.known_since.clear()

    @rule(data=st.data())
    @precondition(lambda self: self.under_way)
    def suspend(self, data: st.DataObject) -> None:
        """A call wants a human."""
        call = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(call)
        self.made.discard(call)
        self.asleep.setdefault(call[0], []).append(call)
        self.makers = {key: maker for key, maker in self.makers.items() if maker != call}
        for index in self.released if self.tasks[call[0]].tool in REPEATABLE else ():
            if index not in self.observed and (index not in self.claimed or index == call[0]):
                equal = [each for each in self.resolved[index] if self.key(each) == self.key(call)]
                self.unserved.setdefault(index, []).extend(equal)
        self.take(self.unit.suspended(*call))

    @rule(data=st.data())
    @precondition(lambda self: self.tasks)
    def claim(self, data: st.DataObject) -> None:
        """The `@task` of a task runs."""
        self.claim_one(data.draw(st.sampled_from(list(self.tasks))))

    def claim_one(self, index: int) -> None:
        """Claim a task."""
        self.claimed.add(index)
        self.asleep.pop(index, None)
        self.unserved.pop(index, None)
        self.take(self.unit.claim(index))

    @rule(
        data=st.data(),
        rare=st.sampled_from(["reject", "unreadable", "restore", "earlier plan", "who waits", "abandon", "expire"]),
    )
    @precondition(lambda self: self.tasks)
    def something_rare(self, data: st.DataObject, rare: str) -> None:
        """Something that does not happen all the time, to any task, whatever it is doing."""
        index = data.draw(st.sampled_from(list(self.tasks)))
        match rare:
            case "reject":
                self.reject(index)
            case "unreadable":
                self.unusable.append(index := self.fresh.pop())
                self.reject(index)
            case "restore" if index not in self.observed:
                observation = data.draw(observations)
                kept = {key: call for key, call in self.makers.items() if call[0] != index or call in self.gave}
                self.makers = kept
                self.finish_from_outside(index, observation, self.unit.restore(index, observation))
            case "abandon" if self.under_way:
                call = data.draw(st.sampled_from(self.under_way))
                self.abandon(call, at_once=data.draw(st.booleans()))
                if data.draw(st.booleans()):
                    self.reject(call[0])
            case "expire":
                self.expire(data.draw(st.lists(st.sampled_from(list(self.tasks)), unique=True)))
            case "earlier plan":
                self.restore_an_earlier_plan(data)
            case _:
                waiting = self.unit.waiting_for(index)
                assert self.closure(index, sharing=False) <= waiting <= self.closure(index, sharing=True)

    def abandon(self, call: Call, *, at_once: bool) -> None:
        """A call gives nothing, because it raised or because a human is asked."""
        self.under_way.remove(call)
        self.abandoned.add(call)
        self.take(self.unit.raised(*call) if at_once else self.unit.abandoned(*call))
        assert not at_once or call[0] in self.stalled or call[0] in self.observed

    def expire(self, indices: list[int]) -> None:
        """No time is left for some tasks."""
        observation = Observation("failed", error="late")
        late = [index for index in indices if index not in self.observed]
        self.makers = {key: maker for key, maker in self.makers.items() if maker[0] not in late}
        instructions = self.unit.expire(dict.fromkeys(late, "late"))
        assert instructions[: len(late)] == [Finished(index, observation) for index in late]
        self.observed.update(dict.fromkeys(late, observation))
        self.take(instructions[len(late) :])

    def reject(self, index: int) -> None:
        """A task turns out to be unusable, and with it what was made of its value."""
        self.makers = {key: maker for key, maker in self.makers.items() if maker[0] != index}
        observation = Observation("failed", error="bad")
        if index not in self.observed:
            self.finish_from_outside(index, observation, self.unit.reject(index, "bad"))
        elif self.lost(index):
            assert self.unit.reject(index, "bad") == []
        else:
            self.observed[index] = observation
            self.take(self.unit.reject(index, "bad"))
            for n in [n for n, task in self.tasks.items() if index in task.dependencies and not self.lost(n)]:
                self.reject(n)

    def restore_an_earlier_plan(self, data: st.DataObject) -> None:
        """A task of an earlier plan is known."""
        index, observation, tool = self.fresh.pop(), data.draw(observations), data.draw(st.sampled_from(TOOLS))
        arguments: list[dict[str, JSON]] = [{"x": n} for n in range(data.draw(st.integers(0, 2)))]
        if tool in EFFECTS:
            self.change(self.now + 1)
        found: list[JSON] = []  # of a list of one, nobody knows whether a fan-out made it
        if len(arguments) == 1:
            found = [observation.value] if observation.status == "done" and observation.value != ["x"] else []
        elif isinstance(observation.value, list) and len(observation.value) == len(arguments):
            found = observation.value
        for value, given in zip(found, arguments, strict=False):
            if tool in REPEATABLE and not self.changes:
                self.known_since.setdefault(key(tool, given), self.now)
                self.given.setdefault(key(tool, given), []).append((self.now, Observation("done", value)))
        instructions = self.unit.restore(index, observation, arguments, tool)
        self.finish_from_outside(index, observation, instructions)

    # -- what an event may say ----------------------------------------------------------------------------------

    def finish_from_outside(self, index: int, observation: Observation, instructions: list[Instruction]) -> None:
        """Take note of an end that the unit was told."""
        assert instructions[0] == Finished(index, observation)
        self.observed[index] = observation
        self.take(instructions[1:])

    def take(self, instructions: Iterable[Instruction]) -> None:
        """Check what the unit says, instruction by instruction."""
        self.now += 1
        for instruction in instructions:
            match instruction:
                case Release(index):
                    assert index not in self.released, "released twice"
                    self.released[index] = self.now
                    self.check_inputs(self.tasks[index])
                    with suppress(ObservationPathError):
                        self.calls(self.tasks[index])  # while its inputs are there
                case Start():
                    self.check_start(instruction)
                case Finished(index, observation):
                    assert index not in self.observed, "finished twice"
                    self.check_finish(self.tasks[index], observation)
                    self.observed[index] = observation
                case Stalled(index, cause):
                    assert index not in self.observed, "stalled after its end"
                    assert any(call[0] == cause for call in self.abandoned), "stalled by nothing"
                    self.stalled.setdefault(index, cause)
        self.unit.validate()

    def check_inputs(self, task: Task) -> None:
        """Nothing is released before what it needs is done, an effect not before the earlier ones are finished."""
        assert all(self.observed[n].status == "done" for n in task.dependencies)
        if task.tool in EFFECTS:
            assert not self.earlier_effects(task.index)

    def earlier_effects(self, index: int) -> list[int]:
        """The unfinished tasks with effects before one of them."""
        order = [n for n, task in self.tasks.items() if task.tool in EFFECTS]
        return [n for n in order[: order.index(index)] if n not in self.observed]

    def calls(self, task: Task) -> dict[Call, dict[str, JSON]]:
        """The calls of a released task, with their arguments."""
        if task.index not in self.resolved:
            inputs = {n: self.observed[n].value for n in task.dependencies}
            spread = fan_out(task.arguments, inputs)
            if spread is None:
                single = {name: substitute(value, inputs) for name, value in task.arguments.items()}
                self.resolved[task.index] = {(task.index, None): single}
            else:
                self.resolved[task.index] = {(task.index, n): each for n, each in enumerate(spread)}
        return self.resolved[task.index]

    def key(self, call: Call) -> str:
        """What makes a call of a released task equal to others."""
        return key(self.tasks[call[0]].tool, self.resolved[call[0]][call])

    def check_start(self, start: Start) -> None:
        """A call is made of a released, allowed task, with its own arguments, never twice, and within the slots."""
        task, call = self.tasks[start.index], (start.index, start.element)
        assert start.index in self.released
        assert start.index not in self.observed, "started after its end"
        assert call not in self.made, "made twice"
        assert call not in self.asleep.get(start.index, ()), "made again before it was claimed again"
        assert task.tool not in HELD or start.index in self.claimed, "held"
        assert start.arguments == self.calls(task)[call]
        if task.tool in REPEATABLE:
            same = self.key(call)
            assert self.makers.setdefault(same, call) == call, "an equal call was made before"
            assert self.known_since.get(same, self.now) >= self.released[start.index], "the value was known before"
        self.begun[call] = self.now
        self.made.add(call)
        self.under_way.append(call)
        assert self.limit is None or len(self.under_way) <= self.limit
        assert task.tool not in self.limits or self.of_tool(task.tool) <= self.limits[task.tool]

    def of_tool(self, tool: str) -> int:
        """How many calls of a tool are under way."""
        return sum(self.tasks[index].tool == tool for index, _ in self.under_way)

    def check_finish(self, task: Task, observation: Observation) -> None:
        """A task ends because something it needs was lost, all its calls have given something, or none is possible."""
        if any(self.lost(n) for n in task.dependencies):
            assert observation.status == "skipped"
            assert task.index not in self.released
            return
        assert observation.status != "skipped"
        assert task.index in self.released
        try:
            calls = self.calls(task)
        except ObservationPathError:
            assert observation.status == "failed"
            return
        assert not any(call[0] == task.index for call in self.under_way)
        possible = [[self.gave[call]] if call in self.gave else self.may_serve(task, call) for call in calls]
        if (task.index, None) in calls:
            assert observation in possible[0]
            return
        assert (observation.status == "done") or any(each.status == "failed" for one in possible for each in one)
        if observation.value is None:
            assert all(any(each.status == "failed" for each in one) for one in possible), "what was found is lost"
            return
        assert isinstance(observation.value, list)
        assert observation.status == "done" or any(value is not None for value in observation.value), "no list"
        for value, given in zip(observation.value, possible, strict=True):
            assert value in [each.value for each in given if value is None or each.status == "done"]

    def may_serve(self, task: Task, call: Call) -> list[Observation]:
        """What equal calls have given, if nothing had changed between their start and the task's release."""
        assert task.tool in REPEATABLE, "not called"
        assert call not in self.made, "called, although an equal call served it"
        fresh = [
            observation
            for begun, observation in self.given.get(self.key(call), [])
            if not any(begun < change <= self.released[task.index] for change in self.changes)
        ]
        assert fresh, "nothing served it"
        return fresh

    def lost(self, index: int) -> bool:
        """Whether a task ended without a value."""
        return index in self.observed and self.observed[index].status != "done"

    # -- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def nothing_waits_without_a_reason(self) -> None:
        """What can be skipped is skipped, what can be released is released, what can start has started."""
        for index, task in self.tasks.items():
            if index in self.observed:
                continue
            assert not any(self.lost(n) for n in task.dependencies), "to be skipped"
            if index not in self.released:
                unfinished = any(n not in self.observed for n in task.dependencies)
                assert unfinished or (task.tool in EFFECTS and self.earlier_effects(index)), "to be released"
            elif task.tool not in HELD or index in self.claimed:
                self.check_greedy(task)

    def check_greedy(self, task: Task) -> None:
        """A task that may start has started all its calls, or there is no slot, or an equal call serves it."""
        idle = {*self.asleep.get(task.index, ()), *self.unserved.get(task.index, ())}
        waiting = set(self.calls(task)) - self.made - idle
        full = self.limit is not None and len(self.under_way) >= self.limit
        tool_full = task.tool in self.limits and self.of_tool(task.tool) >= self.limits[task.tool]
        if not full and not tool_full:
            makers = {self.key(call) for call in self.under_way if call[0] not in self.observed}
            makers |= {self.key(call) for call in self.abandoned if call[0] not in self.observed}
            served = makers.union(self.given) if task.tool in REPEATABLE else set()
            assert all(self.key(call) in served for call in waiting), "to be started"

    @invariant()
    def what_waits_for_an_abandoned_call_is_stalled(self) -> None:
        """Whoever waits for a stalled task's data or turn was said to be stalled, however late it came."""
        for cause in {cause for cause in self.stalled.values() if cause not in self.observed}:
            assert self.closure(cause, sharing=False) <= self.stalled.keys()

    @invariant()
    def the_unit_knows_what_became_of_each(self) -> None:
        """The observations told are the observations kept."""
        assert self.unit.observations == self.observed
        assert self.unit.tasks == self.tasks

    def closure(self, index: int, *, sharing: bool) -> set[int]:
        """The unfinished tasks that wait for one, with all or none of those whose calls are equal."""
        found, pending = set[int](), [index]
        unfinished = [task for n, task in self.tasks.items() if n not in self.observed]
        while pending:
            n = pending.pop()
            waits = [task.index for task in unfinished if n in task.dependencies]
            if n in self.tasks and n not in self.observed and self.tasks[n].tool in EFFECTS:
                waits += [t.index for t in unfinished if t.tool in EFFECTS and n in self.earlier_effects(t.index)]
            if sharing and n in self.released and n not in self.observed and self.tasks[n].tool in REPEATABLE:
                keys = set(map(self.key, self.resolved[n]))
                equal = [t for t in unfinished if t.index in self.released and t.tool == self.tasks[n].tool]
                waits += [t.index for t in equal if keys.intersection(map(self.key, self.resolved[t.index]))]
            pending += set(waits) - found
            found |= set(waits)
        return found

    def teardown(self) -> None:
        """Everything ends once everything is claimed and every call is finished."""
        if not hasattr(self, "unit"):
            return
        for index in self.tasks:
            self.claim_one(index)
        while self.under_way:
            self.end(self.under_way[0], Observation("done", "x"))
            self.nothing_waits_without_a_reason()
        assert set(self.tasks) <= self.observed.keys() | self.stalled.keys(), "lost"


def key(tool: str, arguments: dict[str, JSON]) -> str:
    """What makes calls equal, said in another way than the unit does."""
    return repr((tool, sorted(arguments.items())))


TestUnit = Unit.TestCase
TestUnit.settings = settings(
    max_examples=int(os.environ.get("UNIT_EXAMPLES", "100")), stateful_step_count=40, deadline=None
)
