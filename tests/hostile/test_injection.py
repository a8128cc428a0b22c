"""What pages, tools and people say: every text by one way, and one text by every way."""

import pytest

from tests.hostile.injection import CHANNELS, TEXTS, held

ROTATED = [(list(CHANNELS)[n % len(CHANNELS)], name) for n, name in enumerate(TEXTS)]
WHOLE = [(channel, "a task line") for channel in CHANNELS]
# these once made a joiner's reply end, or its quotation count
KNOWN = [
    (channel, name)
    for channel in ("quoted by the joiner", "fenced by the joiner")
    for name in ("a decision with a thought", "a stop word", "an open thought")
]


def test_there_are_enough() -> None:
    """At least sixty texts, each but once."""
    assert len(set(TEXTS.values())) == len(TEXTS) >= 60


@pytest.mark.parametrize(("channel", "name"), dict.fromkeys(ROTATED + WHOLE + KNOWN))
async def test_it_is_data(channel: str, name: str) -> None:
    """It calls nothing, decides nothing, adds no line to a prompt, and the thread goes on."""
    await held(channel, TEXTS[name])
