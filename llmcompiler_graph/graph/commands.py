"""Puts what the commands of tools write to the state in plan order into one update that LangGraph takes.

For a key without a reducer LangGraph takes one value a step; a second one ends the run, and so does the removal of a
message that is not there. So of several values the later task's wins, and what is removed twice is removed once. The
messages of the turn itself stay whatever a tool removes: the joiner answers from them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AnyMessage, BaseMessage, RemoveMessage
from langgraph.channels import EphemeralValue, LastValue, UntrackedValue
from langgraph.graph import StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command, Overwrite

__all__ = ("in_plan_order", "keys_of_one_value", "with_messages")


def keys_of_one_value(schema: type[Any]) -> frozenset[str]:
    """The keys of a state that have no reducer."""
    channels = StateGraph(schema).channels
    return frozenset(
        key for key, each in channels.items() if isinstance(each, LastValue | EphemeralValue | UntrackedValue)
    )


def in_plan_order(commands: Sequence[Command[Any]], of_one_value: Collection[str]) -> list[Command[Any]]:
    """Leave out of commands what a later one writes over.

    Args:
        commands: Those of the tasks, in plan order.
        of_one_value: The keys of the state that have no reducer.
    """
    last: dict[str, int] = {}  # key -> the command whose value for it replaces what is before
    for n, command in enumerate(commands):
        for key, value in _updates(command).items():
            if key in of_one_value or _overwrites(value):
                last[key] = n
    return [
        replace(command, update={key: value for key, value in given.items() if n >= last.get(key, 0)})
        if (given := _updates(command))
        else command
        for n, command in enumerate(commands)
    ]


def with_messages(
    messages: Sequence[BaseMessage], commands: Sequence[Command[Any]], earlier: Sequence[AnyMessage], turn: int
) -> tuple[list[BaseMessage], list[Command[Any]]]:
    """Take the messages out of commands.

    Args:
        messages: The update's own: those of the tasks.
        commands: Those of the tasks, in plan order; their messages are no dictionaries.
        earlier: The conversation so far.
        turn: Where in it the turn begins.

    Returns:
        The update's messages with those of the commands, and the commands without them.
    """
    given = [*messages, *(each for command in commands for each in _updates(command).get("messages", ()))]
    left = [
        replace(command, update={key: value for key, value in written.items() if key != "messages"})
        if "messages" in (written := _updates(command))
        else command
        for command in commands
    ]
    kept: list[BaseMessage] = [*earlier[turn:], *messages]
    cleared = [n for n, each in enumerate(given) if _removes_all(each)]
    if cleared:
        given = [RemoveMessage(REMOVE_ALL_MESSAGES), *kept, *given[cleared[-1] + 1 :]]
    return [*_without_idle_removals(given, earlier[:turn], kept)], left


def _without_idle_removals(
    given: Sequence[BaseMessage], removable: Iterable[BaseMessage], kept: Iterable[BaseMessage]
) -> Iterable[BaseMessage]:
    """Leave out the removals of what is not there, which is an error to LangGraph, and of what stays."""
    there = {each.id for each in (*removable, *given) if not isinstance(each, RemoveMessage)} - {m.id for m in kept}
    return (m for m in given if not isinstance(m, RemoveMessage) or _removes_all(m) or m.id in there)


def _overwrites(value: object) -> bool:
    return isinstance(value, Overwrite) or (isinstance(value, dict) and set(value) == {"__overwrite__"})


def _removes_all(message: BaseMessage) -> bool:
    return isinstance(message, RemoveMessage) and message.id == REMOVE_ALL_MESSAGES


def _updates(command: Command[Any]) -> Mapping[str, Any]:
    """What a command writes to the graph's own state, if it says so by keys."""
    return command.update if isinstance(command.update, dict) and command.graph is None else {}
