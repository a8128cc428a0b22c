"""Puts the values of other tasks into a task's arguments: the calls that it comes to.

>>> from llmcompiler_graph.core.language.references import ALL, Reference
>>> resolved(Task(3, "sum", {"of": [Reference(1), Reference(2)]}), None, {1: 8849, 2: 8611})
([{'of': [8849, 8611]}], False)
>>> resolved(Task(3, "page", {"id": Reference(1, (ALL,))}), None, {1: ["a", "b"]})
([{'id': 'a'}, {'id': 'b'}], True)

May know: `expressions`, `plan`, `references`, `schema`, `substitution`.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmcompiler_graph.core.checking.expressions import grouped
from llmcompiler_graph.core.checking.schema import fit_text
from llmcompiler_graph.core.language.plan import Observation, Task, ToolSpec
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.language.substitution import fan_out, substitute

__all__ = ("resolved", "values_of_calls")


def resolved(
    task: Task, spec: ToolSpec | None, values: Mapping[int, JSON], max_fan_out: int | None = None
) -> tuple[list[Mapping[str, JSON]], bool]:
    """Put the values of other tasks into a task's arguments.

    Args:
        task: The task.
        spec: What is known of its tool.
        values: What the tasks it takes data from have returned, `{index: value}`.
        max_fan_out: How many calls it may come to; `None` for any number.

    Returns:
        The arguments of each of its calls, and whether it fans out: else there is just one.

    Raises:
        ObservationPathError: A reference points to a part that its observation does not have.
        FanOutError: It would come to more calls than it may.
        KeyError: There is no value for a reference.
    """
    parameters, definitions = (spec.parameters, spec.definitions) if spec else ({}, {})
    given = {name: grouped(value, parameters.get(name), definitions) for name, value in task.arguments.items()}
    spread = fan_out(given, values, max_fan_out)
    calls = [{name: substitute(value, values) for name, value in given.items()}] if spread is None else spread
    fitted = [
        {name: fit_text(value, parameters.get(name), definitions) for name, value in call.items()} for call in calls
    ]
    return list(fitted), spread is not None


def values_of_calls(observation: Observation, calls: int, fans_out: bool | None) -> dict[int | None, JSON]:
    """What each call of a finished task is known to have returned, by element.

    Nothing is known of an element without a value in a task that has failed; nor of a list of one, if it may be what
    one call returned or the list of what one element gave.
    """
    value, done = observation.value, observation.status == "done"
    elements = value if isinstance(value, list) and len(value) == calls else []
    if calls != 1 or fans_out:
        return {n: element for n, element in enumerate(elements) if done or element is not None}
    ambiguous = fans_out is None and elements
    return {None: value} if done and not ambiguous else {}
