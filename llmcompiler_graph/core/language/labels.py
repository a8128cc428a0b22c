"""The words that stand before the parts of a joiner's reply, also as models translate them.

The prompt gives them in English, and in English they count at once. A model that writes to the user in another language
now and then translates them; what is listed here is then understood too.

May know: nothing of the package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = (
    "ACTION",
    "ACTION_BEGUN",
    "ANSWER",
    "ANSWER_HEADING",
    "COLON",
    "FLAGS",
    "GAP",
    "LABEL_WORDS",
    "MARKS",
    "REPLANNING",
    "THOUGHT",
    "THOUGHTS",
    "THOUGHT_HEADING",
    "begun",
)

FLAGS = re.IGNORECASE | re.MULTILINE
MARKS = r" {0,3}+(?:#{1,9}+[ \t]{0,40}+)?[*_]{0,9}+"
"""What may stand before a label on its line: no mark of a list, a block quote or code, such as four spaces."""
GAP = r"[ \t*_`]{0,40}+"
"""What may stand around a label's sign."""
COLON = "[:：]"

THOUGHTS = (
    *(
        "thoughts?",
        "思考",
        "想法",
        "思路",
        "考え",
        "생각",
        "gedanke",
        "überlegung",
        "pensée",
        "réflexion",
        "pensamiento",
    ),
    *(
        "pensamento",
        "pensiero",
        "gedachte",
        "tanke",
        "мысль",
        "размышление",
        "думка",
        "myśl",
        "düşünce",
        "فكرة",
        "विचार",
    ),
    *("suy nghĩ", "pemikiran"),
)
"""What a thought is called, as patterns."""
_ACTIONS = (
    *("action", "行动", "行動", "操作", "动作", "アクション", "행동", "aktion", "acción", "ação", "azione", "actie"),
    *("действие", "дія", "akcja", "eylem", "hành động", "tindakan"),
)
_ANSWERS = (
    *("(?:final[ \t]+)?answer", "完成", "结束", "結束", "(?:最终|最終)?(?:答案|回答)", "答え", "終了", "完了"),
    *("완료", "종료", "(?:최종[ \t]*)?(?:답변|답)", "fertig", "beenden", "abschluss", "(?:endgültige[ \t]+)?antwort"),
    *("terminé", "terminer", "réponse(?:[ \t]+finale)?", "finalizar", "terminar", "respuesta(?:[ \t]+final)?"),
    *("concluir", "resposta(?:[ \t]+final)?", "fine", "concludere", "risposta(?:[ \t]+finale)?", "klaar"),
    *("(?:eind)?antwoord", "slutsvar", "svar", "(?:окончательный[ \t]+)?ответ", "готово", "завершить"),
    *("відповідь", "odpowiedź", "zakończ", "cevap", "yanıt", "bitir", "الإجابة", "الجواب", "उत्तर"),
    *("trả lời", "câu trả lời", "hoàn thành", "jawaban", "selesai"),
)
_REPLANNINGS = (
    *("重新规划", "重新規劃", "重新计划", "重新計劃", "重规划", "再规划", "再計画", "再プラン", "재계획", "다시 계획"),
    *("neu planen", "neuplanung", "umplanen", "replanifier", "replanification", "replanificar", "replanificación"),
    *("replanejar", "ripianificare", "ripianificazione", "herplannen", "перепланировать", "перепланирование"),
    *("переплан", "przeplanuj", "yeniden planla", "إعادة التخطيط", "lập kế hoạch lại", "rencanakan ulang"),
)


LABEL_WORDS = frozenset(
    word
    for pattern in ("finish", "replan", *THOUGHTS, *_ACTIONS, *_ANSWERS, *_REPLANNINGS)
    for word in re.findall(r"[^\W\d_]{2,}", f"{pattern} {pattern.replace('s?', '')}".casefold())
)
"""The words that labels consist of, in small letters."""


def _any(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(words)})"


def _labelled(words: Iterable[str]) -> re.Pattern[str]:
    """A label at the beginning of a line, and what must stand behind it."""
    sign = rf"{GAP}(?:{COLON}|(?P<parenthesis>[(（]))"
    return lazy_pattern(rf"^{MARKS}(?P<action>{ACTION}{GAP})?(?P<word>{_any(words)}){sign}", FLAGS)


def _headed(words: Iterable[str]) -> re.Pattern[str]:
    """A label that is a heading, or bold, and all of its line; it may begin anywhere."""
    begin = r" {0,3}+(?:#{1,6}+[ \t]{1,40}+[*_]{0,3}+|\*\*|__)"
    end = rf"{COLON}?[*_]{{0,3}}+{COLON}?[ \t]{{0,40}}+#{{0,6}}+[ \t\r]{{0,40}}+(?:\n|\Z)"
    return lazy_pattern(f"{begin}(?P<word>{_any(words)}){end}", FLAGS)


def begun(words: Iterable[str]) -> str:
    """A pattern of how these words begin, up to all of one."""
    beginnings = {word[:n] for word in words for n in range(len(word) + 1)}
    return _any(sorted(beginnings, key=len, reverse=True))


ACTION = rf"(?:{_any(_ACTIONS)}[ \t*_]{{0,40}}+{COLON})"
"""The label before a decision."""
ACTION_BEGUN = begun(_ACTIONS)
"""How it begins, without its colon."""
THOUGHT = lazy_pattern(rf"[ \t>#*_`-]*{_any(THOUGHTS)}[ \t*_`]*{COLON}[\s*_`]*", re.IGNORECASE)
"""The label of a thought, with the marks around it."""
ANSWER = _labelled(_ANSWERS)
"""What begins an answer where nothing says `Finish`."""
ANSWER_HEADING = _headed(_ANSWERS)
"""The heading of an answer."""
THOUGHT_HEADING = _headed((*THOUGHTS, "reasoning", "analysis"))
"""The heading of a thought."""
REPLANNING = _labelled(_REPLANNINGS)
"""What asks for another plan where nothing says `Replan`."""
