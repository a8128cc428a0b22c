"""Values out of prose with the embedded model, live: right, refused where there is none, and what went wrong.

python tests/benchmarks/extract.py [MODEL]

Twelve passages of our own, with a number and a text in each to be found, and something that is not in it.
"""

import sys
import time
from typing import NamedTuple

from langchain_core.tools import ToolException

from llmcompiler_graph.models.local import local_chat_model
from llmcompiler_graph.tools import extract_with


class Passage(NamedTuple):
    """A passage with what can be asked of it."""

    text: str
    number: tuple[str, float]
    """A question, and the number that answers it."""
    words: tuple[str, str]
    """A question, and what the answer must hold."""
    absent: str
    """A question that it does not answer."""


PASSAGES = [
    Passage(
        "Mount Aldra is the highest peak of the Sarn range. It rises 4,312 m (14,147 ft) above the sea and was first "
        "climbed in 1874 by Ilse Marten.",
        ("height in metres", 4312),
        ("who climbed it first", "Ilse Marten"),
        "population",
    ),
    Passage(
        "The Vell flows 1 284 km from the Orne hills to the Grey Bay. Its basin covers 92,000 km2, and it carries "
        "about 840 cubic metres of water a second.",
        ("length in km", 1284),
        ("where it ends", "Grey Bay"),
        "maximum depth",
    ),
    Passage(
        "Tarn had 2.4 million inhabitants in 2021, up from 1.9 million in 2001. The mayor is Jonas Okoye; the city was "
        "founded by salt traders in 1188.",
        ("inhabitants in 2021", 2_400_000),
        ("mayor", "Jonas Okoye"),
        "area in square kilometres",
    ),
    Passage(
        "The Halden Bridge, opened in 1936, has a main span of 713 metres and six lanes. The toll is 4.50 crowns.",
        ("main span in metres", 713),
        ("currency of the toll", "crowns"),
        "architect",
    ),
    Passage(
        "Lake Iber is 505 m deep at most and lies at 1,812 m. It freezes from December to April.",
        ("maximum depth in metres", 505),
        ("when it freezes", "December"),
        "length in km",
    ),
    Passage(
        "'The Quiet Lamp' is a 1957 film by Ana Ruel with a running time of 104 minutes. It cost $1.2 million and "
        "earned $9.8 million.",
        ("running time in minutes", 104),
        ("director", "Ana Ruel"),
        "number of awards",
    ),
    Passage(
        "The company employs 12,450 people at nine sites. Revenue fell to 3.1 billion euros in 2022; the head office "
        "is in Lund.",
        ("number of employees", 12450),
        ("head office", "Lund"),
        "share price",
    ),
    Passage(
        "An adult marsh heron weighs about 1.6 kg and has a wingspan of 165 cm. It eats frogs and lives up to 22 "
        "years.",
        ("wingspan in cm", 165),
        ("what it eats", "frogs"),
        "number of eggs",
    ),
    Passage(
        "The temperature at Nord station fell to -58.3 °C in January 1982, when three people wintered there.",
        ("lowest temperature", -58.3),
        ("month", "January"),
        "wind speed",
    ),
    Passage(
        "Planet Ozu circles its star in 11.2 days at 7.5 million km. It was discovered from Chile by the Mira survey.",
        ("orbital period in days", 11.2),
        ("which survey discovered it", "Mira"),
        "mass",
    ),
    Passage(
        "The recipe serves four. Bake for 35 minutes at 180 degrees, then let it rest under a cloth.",
        ("baking time in minutes", 35),
        ("what it rests under", "cloth"),
        "calories",
    ),
    Passage(
        "Flight 602 left Oslo at 14:20 with 187 passengers, diverted to Bergen because of fog, and landed at 15:05.",
        ("number of passengers", 187),
        ("where it was diverted to", "Bergen"),
        "name of the pilot",
    ),
]


def main(model: str) -> None:
    """Ask everything and print what is wrong, then the sums."""
    chat = local_chat_model(model)
    number, words = extract_with(chat, returns=float), extract_with(chat, returns=str)
    right = {"number": 0, "words": 0, "absent (number)": 0, "absent (words)": 0}
    began = time.monotonic()
    for passage in PASSAGES:
        for kind, tool, question, wanted in (
            ("number", number, *passage.number),
            ("words", words, *passage.words),
            ("absent (number)", number, passage.absent, None),
            ("absent (words)", words, passage.absent, None),
        ):
            found: object = None
            try:
                found = tool.invoke({"text": passage.text, "question": question})
                reason = repr(found)
            except ToolException as error:
                reason = str(error)
            good = found == wanted or (isinstance(wanted, str) and isinstance(found, str) and wanted in found)
            right[kind] += good
            if not good:
                print(f"✗ {kind}: {question!r}: {reason}", flush=True)
    seconds = (time.monotonic() - began) / (4 * len(PASSAGES))
    listed = ", ".join(f"{kind} {count}/{len(PASSAGES)}" for kind, count in right.items())
    print(f"{model}: {listed}; {seconds:.1f} s each")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "qwen2.5-coder-1.5b")
