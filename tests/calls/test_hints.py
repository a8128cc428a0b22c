from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.tools import StructuredTool
from mcp.types import Tool, ToolAnnotations

from llmcompiler_graph.calls.hints import Hints, hints, named_like_an_action
from llmcompiler_graph.calls.specs import tool_spec

DESTROYS = {"destructiveHint": True, "readOnlyHint": False}
SNAKE = {"destructive_hint": True, "read_only_hint": False}
ACTIONS = """
send send_email sendEmail SendEmail send-email gmail.send gmail/send DELETE_FILE deleteFile2 HTTPPost sendSMSMessage
github_create_issue google_drive_delete_file mcp__slack__post_message slack.chat.postMessage stripe_refund
bank_transfer pay buy_ticket order_pizza book-hotel cancelOrder submit_form publish notify put_object remove_user
update_record write_file check_out check_in_passenger CheckOut execute_sql upsert_row requests_post hotel_book
"""
OTHERS = """
search lookup calculate get_order getOrder list_orders find_email search_posts read_file fetch.update mcp__db__query
orders height weather github_list_issues gmail-search-messages latest_post check_status compare_books _ x1 Größe
payments postal settings sender newsletter_archives describe_update calculate_transfer check_inventory
"""
OBJECT = ToolAnnotations(destructiveHint=True, readOnlyHint=False)


@pytest.mark.parametrize(
    "metadata",
    [
        DESTROYS,
        SNAKE,
        {"annotations": DESTROYS},
        {"annotations": SNAKE},
        {"annotations": OBJECT},
        {"mcp": {"tool": {"annotations": DESTROYS}}},
        {"mcp": {"tool": {"annotations": SNAKE, "_meta": {"x": 1}}, "server": {"name": "s", "version": "1"}}},
        {"mcp": {"tool": {"annotations": OBJECT}}},
        {"mcp": {"annotations": SNAKE}},
        {"mcp": {"tool": Tool(name="t", inputSchema={}, annotations=OBJECT)}},
        {"mcp": SimpleNamespace(tool=SimpleNamespace(annotations=SimpleNamespace(**SNAKE)))},
        {"_meta": {"annotations": DESTROYS}},
        {"mcp_tool": {"annotations": DESTROYS}},
        {"tool": {"annotations": {**DESTROYS, "title": "Delete"}}},
        {"destructiveHint": "true", "readOnlyHint": "False"},
        {"readOnlyHint": True, "destructiveHint": False, "annotations": OBJECT},
        {"annotations": OBJECT, "mcp": {"tool": {"annotations": {"readOnlyHint": True, "destructiveHint": False}}}},
        {"mcp": [{"annotations": DESTROYS}]},
        {"mcp": {"annotations": [DESTROYS]}},
        {"mcp": {"tools": ({"name": "look", "annotations": SNAKE},)}},
        {"mcp": {"tool": {"annotations": [{"destructiveHint": True}, {"readOnlyHint": False}]}}},
        {"mcp": [[OBJECT]]},
        {"mcp": [Tool(name="t", inputSchema={}, annotations=OBJECT)]},
        {"mcp": {"annotations": [["destructiveHint", True], ("readOnlyHint", False)]}},
        {"mcp": [{"name": "destructiveHint", "value": True}, {"key": "readOnlyHint", "value": "false"}]},
        {"mcp": [{"readOnlyHint": True, "destructiveHint": False}, {"annotations": DESTROYS}]},
        {"annotations": '{"destructiveHint": true, "readOnlyHint": false}'},
        {"annotations": {"destructive-hint": 1, "read-only-hint": 0}},
    ],
)
def test_a_destructive_tool_is_seen(metadata: dict[str, Any]) -> None:
    """Wherever an adapter puts what a server says of a destructive tool, and whatever else is said, it is found."""
    assert hints(metadata) == Hints(read_only=False, idempotent=None, destructive=True)
    made = StructuredTool.from_function(lambda: 1, name="look", description="Look.", metadata=metadata)
    assert tool_spec(made).has_effects
    assert tool_spec(made).waits_for_plan
    assert not tool_spec(made).repeatable


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"annotations": None},
        {"annotations": ToolAnnotations(title="Look")},
        {"readOnlyHint": None, "destructiveHint": "perhaps"},
        {"outputSchema": {"properties": {"readOnlyHint": True}}, "inputSchema": {"destructiveHint": True}},
        {"client": object(), "tags": ["readOnlyHint"], "owner": "readOnlyHint"},
        {"tags": ["destructiveHint", "true", "x"], "note": "{destructiveHint: true}", "mcp": [None, 1, 0.5, [], b"{"]},
        {"mcp": [{"name": "destructiveHint"}, ["destructiveHint"], ["destructiveHint", None]]},
        {"mcp": {"tool": {"inputSchema": [{"destructiveHint": True}]}}},
    ],
)
def test_no_hints(metadata: dict[str, Any] | None) -> None:
    """What is no hint is not taken for one."""
    assert hints(metadata) == Hints()


def test_metadata_that_holds_itself() -> None:
    """Metadata that goes round in circles is looked through all the same."""
    metadata: dict[str, Any] = {"idempotentHint": True}
    metadata["self"] = metadata
    metadata["many"] = [metadata] * 1000
    metadata["others"] = [[metadata["many"]] * 1000] * 1000
    assert hints(metadata) == Hints(idempotent=True)


@pytest.mark.parametrize(
    "name",
    ACTIONS.split(),
)
def test_names_of_actions(name: str) -> None:
    """A name whose first verb says that something is changed, however its words are joined and prefixed."""
    assert named_like_an_action(name)


@pytest.mark.parametrize(
    "name",
    OTHERS.split(),
)
def test_names_of_nothing_that_is_changed(name: str) -> None:
    """A name without such a verb, or that says first that something is looked up."""
    assert not named_like_an_action(name)


@pytest.mark.parametrize(
    ("metadata", "waits"),
    [
        (None, True),
        ({"idempotentHint": False}, True),
        ({"destructiveHint": False}, True),
        ({"readOnlyHint": True}, False),
        ({"idempotentHint": True}, False),
    ],
)
def test_hints_count_more_than_names(metadata: Any, waits: bool) -> None:
    """A tool that is named like an action waits for the whole plan, unless a hint says that a second call is harmless.

    It has no effects that are known of: it keeps no order with those that have, and ends no sharing of equal calls.
    """
    made = StructuredTool.from_function(lambda: 1, name="send_email", description="Send.", metadata=metadata)
    assert tool_spec(made).waits_for_plan == waits
    assert not tool_spec(made).has_effects


async def test_langchains_own_adapter() -> None:
    """`langchain.mcp`'s tools of a real server have its hints: what destroys is never early, what reads is shared."""
    fastmcp: Any = pytest.importorskip("fastmcp", reason="it needs mcp 2, langchain-mcp-adapters needs mcp 1")
    mcp: Any = pytest.importorskip("langchain.mcp")
    server = fastmcp.FastMCP("shop")

    @server.tool(annotations={"destructiveHint": True, "readOnlyHint": False})  # type: ignore[untyped-decorator]
    def look(item: str) -> str:
        """Look, and erase."""
        return item

    @server.tool(annotations={"readOnlyHint": True})  # type: ignore[untyped-decorator]
    def send(item: str) -> str:
        """Send nothing."""
        return item

    async with fastmcp.Client(server) as client:
        specs = [tool_spec(await mcp.as_langchain_tool(each, client)) for each in await client.list_tools()]
    assert [(spec.name, spec.has_effects, spec.repeatable) for spec in specs] == [
        ("look", True, False),
        ("send", False, True),
    ]
