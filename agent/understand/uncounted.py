"""Numbers of a text that measure nothing of a plan: dates, times, years, rooms, ages, prices, and what is struck out."""

import re

from agent.understand.notes import Notes
from agent.understand.scan import COUNT, EATEN, compiled

_MONTHS = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
_NO_QUANTITY = (
    compiled(r"(?<![\w.])(?:19|20)\d\d-\d\d?-\d\d?(?:[T ]\d\d?:\d\d(?::\d\d)?)?(?![\w-])"),  # 2026-01-15
    compiled(rf"(?<![\w.])\d\d?(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?!may\b(?!\s*[,.;)])){_MONTHS}(?!\s*\d)"),  # 2 March
    compiled(rf"(?<![\w.])\d\d?\.?\s*(?:-|to|until|and|&)\s*\d\d?(?:st|nd|rd|th|\.)?\s+{_MONTHS}"),  # 22-29 Dec
    compiled(r"(?<![\w./])\d\d?[./]\d\d?[./](?:\d\d){1,2}(?![\w./])"),  # 15.01.2026
    compiled(r"(?<![\w:.])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:\s*[ap]\.?m\b\.?)?(?![\w:])"),  # 10:30
    compiled(rf"(?<![\w.])(?:\d\d?(?:st|nd|rd|th)?\s+)?{_MONTHS}\s+\d\d?(?:st|nd|rd|th)?(?![,.]\d)(?:,?\s+(?:19|20)\d\d)?\b(?!\s*(?:x|gpus?|h\d|a\d))"),
    compiled(r"\b(?:in|since|by|until|before|after|from|of|q[1-4]|year|late|early|mid)[ -](?:19|20)\d\d\b(?!\s*(?:tok|in\b|out\b|prompt|input|output|req|user|k\b|,\d|ms\b|milli|s\b|sec|concurr|simult|parallel|sessions|people|chats|generated|answer|characters|words)|\s*[,;/]\s*(?:and\s+)?out(?:put)?\b)"),
    compiled(r"\b(?:doc(?:ument)?|sla|spec(?:ification)?|draft|template|rev(?:ision)?|form|policy|release|api|proposal|deck|sheet|contract|design|runbook|sow|rfp|rfi|report)\s+(?:doc(?:ument)?\s+)?(?:version\s+)?v\.?\s?\d{1,2}(?:\.\d{1,2}){0,2}\b"),
    compiled(r"\b(?:ports?|extension|ext\.?|pid|job|build|commit|rooms?|floors?|office|ticket|issue|page|chapter|section|slide|version|phase|line|building|extension|desk|aged?|#)\s*(?:no\.?\s*|number\s*|#\s*)?\d{1,9}\b"),
    compiled(r"\b(?:i'?m|i\s+am|he\s+is|she\s+is)\s+\d{1,3}\b(?:\s+years?\s+old)?|\b\d{1,3}[- ]years?[- ]old\b"),
    compiled(r"\b(?:rack|bay|cabinet|aisle|cage|shelf|hall|row)\s+(?!(?:l4|t4|a10|l40|a40|a30|a16|p40)\b)[a-z][- ]?\d{1,2}\b(?!\s*(?:x\b|gpus?\b|[a-z]{1,2}\d))"),
    compiled(r"\b24\s*/\s*7(?:/365)?\b|\b\d{2}(?:\.\d{1,4})?\s*%\s*(?:up-?time|availability|sla)\b|\b(?:sla|up-?time|availability)\s+(?:of\s+)?\d{2}(?:\.\d{1,4})?\s*%"),
    compiled(rf"(?<![\w.])(?:(?:company|firm|team|group|department|organi[sz]ation|staff|agency|startup|office)\s+(?:of|with)\s+(?:about\s+|some\s+)?{COUNT}\s+(?:people|persons|users)\b)|(?<![\w.]){COUNT}\s+(?:employees|staff|cats?|dogs?|kids|children|years?|months?|weeks?|regions?|countries|euros?|dollars?|customers)\b(?![^.;\n]{{0,50}}\b(?:at\s+(?:once|a\s+time|the\s+same\s+time)|simultaneous|concurren|in\s+parallel|online))"),
)  # fmt: skip


_MONEY = compiled(
    r"\b(?:costs?|priced?|paid|pays?|charge[sd]?|worth)\s+(?:us\s+|about\s+|around\s+|is\s+|of\s+|at\s+|was\s+|were\s+|some\s+|only\s+)*\d[\d.,]*\s?k?\b(?!\s*(?:ms|s\b|sec|tok|req|gpus?|x\b))"
)
"""`the GPUs cost 24k each`."""
_STAFF = compiled(
    rf"\b(?:our|the|my|this|whole|small|big)\s+(?:\w+\s+){{0,2}}?(?:team|company|group|department|firm|organi[sz]ation|lab|startup|unit|crew)\s+(?:has|have|counts|is|employs|consists\s+of|grew\s+to)\s+(?:about\s+|some\s+|around\s+|only\s+|now\s+)?{COUNT}\s+(?:\w+\s+)?(?:people|persons|engineers|developers|devs|employees|members|colleagues|scientists|researchers|heads|staff)\b(?![^.;\n]{{0,50}}\b(?:at\s+(?:once|a\s+time|the\s+same\s+time)|simultaneous|concurren|in\s+parallel|online))"
)
"""How large a team is."""
_DENIED = compiled(r"\b(?:fp8|fp4|nvfp4|bf16|fp16|int8|int4|awq|gptq)\s*\?\s*(?:no|nope|nein|non)\b")
"""A question that is answered with no: `GLM-4.5 FP8? no, the plain one`."""


_STRUCK = re.compile(r"~~(?P<words>[^~\n]{1,80})~~")


def without_struck(text: str, notes: Notes) -> str:
    """The text with words that are struck out eaten: `~~Qwen3-32B~~ Qwen3-235B`."""
    for match in _STRUCK.finditer(text):
        notes.assume(f"ignored: `{' '.join(match['words'].split())}` (struck out)")
    return _STRUCK.sub(lambda m: EATEN * len(m.group()), text)


def without_dates(text: str) -> str:
    """The text with dates, times, years, rooms and ages eaten: numbers that measure nothing of a plan."""
    for pattern in (*_NO_QUANTITY, _MONEY, _STAFF, _DENIED):
        text = pattern.sub(lambda m: EATEN * len(m.group()), text)
    return text
