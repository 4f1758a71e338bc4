"""Speech that was written down as it sounded, and words of scripts that the glossary of phrases does not have: as the trade writes them."""

import re
import unicodedata
from functools import cache

from agent.understand.scan import compiled

_DIGITS = {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}
_UNITS = {**_DIGITS, "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10", "twelve": "12"}
_SPELT = (
    (compiled(r"\bs[ .-]?g[ .-]+lang\b"), "sglang"),
    (compiled(r"\bv[ .-]?l[ .-]l[ .-]?m\b"), "vllm"),
    (compiled(r"\btensor[ ]?r[ ]t[ ]l[ ]l[ ]m\b"), "tensorrt-llm"),
    (compiled(r"\bt[ ]p(?=\s+(?:of\s+)?(?:\d|one|two|four|eight))"), "TP"),
    (compiled(r"라마(?=\s*-?\d)|ラマ(?=\s*-?\d)|лама(?=\s*-?\d)"), "Llama"),
    (compiled(r"큐웬|通义千问|通義千問|千问(?=\s*-?\d)"), "Qwen"),
    (compiled(r"딥시크|ディープシーク|深度求索"), "DeepSeek"),
    (compiled(r"미스트랄|ミストラル"), "Mistral"),
    (compiled(r"젬마"), "Gemma"),
)
"""Engines, degrees and families of models as they sound, or in other scripts."""
_RELEASE = compiled(r"(?P<name>\bdeep\s?seek|\bkimi)[ -]+(?P<letter>[rvk])[ -]+(?P<n>one|two|three|four|five|[1-5])\b")
_HUNDREDS = compiled(r"\b(?P<letter>[hb])[ -]+(?P<n>one|two|three|a)[ -]+hundreds?\b")
_AND_A_HALF = compiled(
    r"\b(?P<n>one|two|three|four|five|six|seven|eight|nine|ten|twelve|\d{1,3})\s+and\s+a\s+half\s+thousand\b"
)
_IN_EACH = compiled(
    r"(?<![\w.,])(?P<n>two|three|four|eight|[1-9]\d?)\s+(?:gpus?\s+|cards?\s+)?in\s+each\s+(?:one\s+)?of\s+(?:the\s+|our\s+)?(?P<h>two|three|four|eight|[1-9]\d?)\s+(?P<what>servers|nodes|hosts|machines|boxes)\b"
)
_LABELLED = compiled(
    r"\b(?P<what>boxes|nodes|hosts|servers|machines)\s*:\s*(?P<h>\d{1,4})\s*,\s*each\s+(?:with|has|having|holding|of)\s+(?=\d)"
)

VOCABULARY: dict[str, dict[str, str]] = {
    "input": {"hi": "इनपुट|इन्पुट", "ar": "(?:طول )?(?:و?ال)?مدخلات|(?:و?ال)?إدخال"},
    "output": {"hi": "आउटपुट|आउट्पुट", "ar": "(?:طول )?(?:و?ال)?مخرجات|(?:و?ال)?إخراج"},
    "prompt": {"hi": "प्रॉम्प्ट|प्रॉम्ट|प्रांप्ट", "ar": "(?:و?ال)?(?:برومبت|موجه|مطالبة)"},
    "answers": {"hi": "उत्तर|जवाब", "ar": "(?:و?ال)?(?:إجابات|إجابة|ردود|رد)"},
    "tokens": {"hi": "टोकन्स|टोकन", "ar": "(?:توكنات|توكن|رموز|رمزا|رمز)"},
    "concurrent requests": {
        "hi": "समवर्ती (?:अनुरोध|रिक्वेस्ट)",
        "ar": "(?:طلبات|طلبًا|طلبا|طلب) (?:متزامنة|متزامنًا|متزامنا|متزامن)",
    },
    "concurrent users": {
        "hi": "समवर्ती उपयोगकर्ता",
        "ar": "(?:مستخدمين|مستخدمًا|مستخدما|مستخدم) (?:متزامنين|متزامنًا|متزامنا|متزامن)",
    },
    "requests per second": {
        "hi": "(?:अनुरोध|रिक्वेस्ट) प्रति सेकंड",
        "ar": "(?:طلبات|طلبًا|طلبا|طلب) (?:في|لكل) (?:الثانية|ثانية)",
    },
    "requests per minute": {
        "hi": "(?:अनुरोध|रिक्वेस्ट) प्रति मिनट",
        "ar": "(?:طلبات|طلبًا|طلبا|طلب) (?:في|لكل) (?:الدقيقة|دقيقة)",
    },
    "at once": {"hi": "एक साथ|एकसाथ|एक ही समय", "ar": "(?:في نفس الوقت|في وقت واحد|بالتزامن)"},
    "requests": {"hi": "अनुरोधों|अनुरोध|रिक्वेस्ट", "ar": "(?:طلبات|طلبًا|طلبا)"},
    "users": {"hi": "उपयोगकर्ताओं|उपयोगकर्ता|यूज़र|यूजर", "ar": "(?:مستخدمين|مستخدمًا|مستخدما)"},
    "nodes": {"hi": "सर्वरों|नोड्स|नोड", "ar": "(?:خوادم|عقد)"},
    "2 nodes with": {"ar": "(?:خادمين|خادمان|عقدتين) (?:في كل منهما|بكل منهما|كل منهما)"},
    "one server with": {"ar": "خادم واحد (?:فيه|به|يحتوي على)"},
    "server": {"hi": "सर्वर", "ar": "(?:ال)?خادم"},
    "each with": {"ar": "(?:في كل منها|كل منها|لكل منها|في كل واحد)"},
    "GPUs": {"hi": "जीपीयू", "ar": "(?:بطاقات|معالجات رسومية|وحدات معالجة رسومية)"},
    "first token": {"hi": "पहला टोकन|पहले टोकन", "ar": "(?:ال)?(?:توكن|رمز) (?:ال)?أول|أول (?:توكن|رمز)"},
    "seconds": {"hi": "सेकंड|सेकेंड", "ar": "(?:ثوان|ثوانٍ|ثانية)"},
    "milliseconds": {"hi": "मिलीसेकंड", "ar": "(?:مللي ثانية|ميلي ثانية|ملي ثانية)"},
    "lowest latency": {"hi": "(?:सबसे )?कम(?: से कम)? (?:लेटेंसी|विलंबता)", "ar": "(?:أقل|أدنى) (?:زمن استجابة|تأخير|كمون)"},
    "highest throughput": {"hi": "(?:अधिकतम|सबसे ज़्यादा) थ्रूपुट", "ar": "(?:أعلى|أقصى) (?:إنتاجية|معدل نقل)"},
    "lowest cost": {"hi": "सबसे सस्ता|न्यूनतम लागत", "ar": "(?:أقل|أدنى) تكلفة|الأرخص"},
    "of": {"ar": "من (?:نوع|طراز)"},
    ", ": {"ar": "،"},
}
"""Words of each meaning by language, as patterns; the longer meanings stand first."""


@cache
def _meanings() -> tuple[tuple[str, re.Pattern[str]], ...]:
    order = sorted(VOCABULARY, key=lambda meaning: -len(meaning))
    return tuple((one, re.compile("|".join(VOCABULARY[one].values()))) for one in order)


def spoken(text: str) -> str:
    """The text with spelled-out names, its digits of whatever script, and words of Hindi and Arabic in English."""
    text = _in_latin_digits(text)
    for pattern, plain in _SPELT:
        text = pattern.sub(plain, text)
    text = _RELEASE.sub(lambda m: f"{m['name']} {m['letter']}{_DIGITS.get(m['n'].lower(), m['n'])}", text)
    text = _HUNDREDS.sub(lambda m: f"{m['letter']}{_DIGITS.get(m['n'].lower(), '1')}00", text)
    text = _AND_A_HALF.sub(lambda m: f"{int(_UNITS.get(m['n'].lower(), m['n'])) * 1000 + 500}", text)
    text = _LABELLED.sub(r"\g<h> \g<what> with ", text)
    text = _IN_EACH.sub(r", \g<h> \g<what> with \g<n> each, ", text)
    text = _ONE_HOST.sub(r" one node with \g<n> GPUs ", text)
    return _in_latin_words(text)


_ONE_HOST = re.compile(r"(?:单机|單機|单台|单节点)\s*(?P<n>\d{1,2})\s*(?:卡|张卡|块卡|GPU)(?!\s*[A-Za-z])")
"""`单机8卡`."""
_OTHER_SCRIPT = re.compile(r"[\u0600-\u06ff\u0900-\u097f]")


def _in_latin_digits(text: str) -> str:
    """Digits of other scripts as ours; the Arabic marks of thousands and decimals with them."""
    if text.isascii():
        return text
    digits = "".join(str(unicodedata.digit(c)) if unicodedata.category(c) == "Nd" else c for c in text)
    return digits.replace("\u066c", ",").replace("\u066b", ".")


def _in_latin_words(text: str) -> str:
    if _OTHER_SCRIPT.search(text) is None:
        return text
    for meaning, pattern in _meanings():
        text = pattern.sub(f" {meaning} ", text)
    return text
