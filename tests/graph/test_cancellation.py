import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware, hook_config
from langchain_core.messages import BaseMessage
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from tests.benchmarks.cancellation import measure


def test_cancelled_runs_leave_nothing_behind() -> None:
    """Runs cancelled anywhere, also by Ctrl-C, leave no asyncio task, no new thread, and a checkpoint to go on from."""
    found = measure(20, warm_up=10)
    assert found.after.tasks == found.before.tasks == 0
    assert found.after.threads <= found.before.threads + 4  # threads for tools are kept, and used again
    assert found.cancelled > 5
    assert found.resumed_right == 20


class Hooked(AgentMiddleware[Any, Any]):
    """Has hooks of every kind, of which one may end the turn."""

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Do nothing."""
        return None

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Do nothing."""
        return None

    @hook_config(can_jump_to=["end"])
    def after_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Do nothing."""
        return None

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Do nothing."""
        return None


class Brief(AgentMiddleware[Any, Any]):
    """Has one hook, that leads to one node."""

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Do nothing."""
        return None


@pytest.mark.parametrize("hooks", [(), (Hooked,), (Brief,)], ids=["no hooks", "hooks", "one hook"])
@pytest.mark.parametrize("events", range(16))
async def test_a_stream_that_is_left_at_any_event(events: int, hooks: tuple[Any, ...], tmp_path: Path) -> None:
    """Whenever a stream is left, the turn goes on from its checkpoint to its answer, or may be asked for anew."""

    @tool
    async def look(what: str) -> str:
        """Look."""
        await asyncio.sleep(0)
        return f"saw {what}"

    def reply(messages: list[BaseMessage]) -> str:
        seen = "Observations" in messages[-1].text
        return "Finish: done" if seen else '1. look("a")\n2. look("$1")\n3. join()'

    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "checkpoints")) as saver:
        model, middleware = ScriptedModel([reply] * 6, chunk_size=16), [kind() for kind in hooks]
        graph = create_llm_compiler(model, [look], middleware=middleware, checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "1"}}
        left: Any = graph.astream({"messages": [("user", "?")]}, config, stream_mode=["custom", "updates"])
        for _ in range(events):
            await anext(left, None)
        closing = asyncio.create_task(left.aclose())  # while the next run has begun
        kept = (await graph.aget_state(config)).values.get("messages")
        final = await graph.ainvoke(None if kept else {"messages": [("user", "?")]}, config)
        await closing
    assert final["messages"][-1].text == "done"
