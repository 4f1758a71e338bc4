"""Numbers that are written out, in the languages people write to us in, as digits: `two hundred and fifty`, `dreißig`, `二十四张`, `1万`.

Everything behind reads digits alone. Articles (`a`, `one`, `eine`) stay: whether they count is for the words around them to say.
"""

import re
from collections.abc import Iterable
from functools import cache

_ENGLISH = (
    "two 2,three 3,four 4,five 5,six 6,seven 7,eight 8,nine 9,ten 10,eleven 11,twelve 12,thirteen 13,fourteen 14,fifteen 15,sixteen 16,"
    "seventeen 17,eighteen 18,nineteen 19,twenty 20,thirty 30,forty 40,fourty 40,fifty 50,sixty 60,seventy 70,eighty 80,ninety 90"
)
_OTHERS = (
    # German, Dutch
    (
        "zwei 2,drei 3,vier 4,fünf 5,fuenf 5,sechs 6,sieben 7,acht 8,neun 9,zehn 10,elf 11,zwölf 12,zwoelf 12,dreizehn 13,vierzehn 14,fünfzehn 15,"
        "sechzehn 16,siebzehn 17,achtzehn 18,neunzehn 19,zwanzig 20,dreißig 30,dreissig 30,vierzig 40,fünfzig 50,sechzig 60,siebzig 70,achtzig 80,"
        "neunzig 90,twee 2,drie 3,vijf 5,zes 6,zeven 7,negen 9,tien 10,twaalf 12,zestien 16,twintig 20,dertig 30,veertig 40,vijftig 50,zestig 60"
    ),
    # French
    (
        "deux 2,trois 3,quatre 4,cinq 5,sept 7,huit 8,neuf 9,dix 10,onze 11,douze 12,treize 13,quatorze 14,quinze 15,seize 16,vingt 20,trente 30,"
        "quarante 40,cinquante 50,soixante 60,dizaine 10,douzaine 12,quinzaine 15,vingtaine 20,trentaine 30,quarantaine 40,cinquantaine 50,"
        "soixantaine 60,centaine 100,millier 1000"
    ),
    # Spanish, Portuguese, Italian
    (
        "dos 2,tres 3,cuatro 4,cinco 5,seis 6,siete 7,ocho 8,nueve 9,diez 10,doce 12,trece 13,catorce 14,quince 15,dieciséis 16,dieciseis 16,"
        "veinte 20,veinticuatro 24,treinta 30,cuarenta 40,cincuenta 50,sesenta 60,setenta 70,ochenta 80,noventa 90,cien 100,docena 12,decena 10,"
        "centenar 100,dois 2,duas 2,três 3,quatro 4,sete 7,oito 8,nove 9,dez 10,doze 12,quinze 15,dezesseis 16,vinte 20,trinta 30,quarenta 40,"
        "cinquenta 50,sessenta 60,oitenta 80,noventa 90,cem 100,dúzia 12,dezena 10,centena 100,quattro 4,cinque 5,sette 7,otto 8,dieci 10,"
        "dodici 12,quindici 15,sedici 16,venti 20,ventiquattro 24,trenta 30,quaranta 40,cinquanta 50,sessanta 60,ottanta 80,novanta 90,decina 10,"
        "ventina 20,trentina 30,cinquantina 50,centinaio 100,dozzina 12"
    ),
    # Swedish, Norwegian: only what means nothing in the languages above
    ("två 2,fyra 4,åtta 8,åtte 8,sexton 16,seksten 16,tjugo 20,tjue 20,femtio 50"),
    # Russian, with its cases
    (
        "два 2,две 2,двух 2,двум 2,двумя 2,три 3,трёх 3,трех 3,тремя 3,четыре 4,четырёх 4,четырех 4,четырьмя 4,пять 5,пяти 5,шесть 6,шести 6,"
        "семь 7,семи 7,восемь 8,восьми 8,восемью 8,девять 9,десять 10,десяти 10,двенадцать 12,двенадцати 12,шестнадцать 16,шестнадцати 16,"
        "двадцать 20,двадцати 20,тридцать 30,тридцати 30,сорок 40,сорока 40,пятьдесят 50,пятидесяти 50,сто 100,двести 200,триста 300"
    ),
    # Polish, Czech, Turkish
    (
        "dwa 2,dwie 2,dwóch 2,dwoma 2,trzy 3,trzech 3,cztery 4,czterech 4,osiem 8,ośmiu 8,dziesięć 10,szesnaście 16,dwadzieścia 20,dva 2,dvě 2,"
        "dvou 2,čtyři 4,čtyřech 4,osm 8,osmi 8,deset 10,šestnáct 16,dvacet 20,iki 2,dört 4,sekiz 8,on altı 16,yirmi 20,elli 50"
    ),
)
_SCALES = {
    "dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000, "grand": 1000, "hundert": 100, "tausend": 1000, "tsd": 1000,
    "cent": 100, "cents": 100, "mille": 1000, "mila": 1000, "mil": 1000, "millones": 1_000_000, "milhões": 1_000_000, "millionen": 1_000_000,
    "millions": 1_000_000, "honderd": 100, "duizend": 1000, "тысяч": 1000, "тысячи": 1000, "тысяча": 1000, "тыс": 1000, "tysięcy": 1000, "tys": 1000, "tis": 1000,
    "tysiące": 1000, "tisíc": 1000, "bin": 1000, "yüz": 100, "docenas": 12, "dozens": 12, "hundreds": 100, "thousands": 1000,
    "thousandth": 1000,
}  # fmt: skip
_ALONE = {"dozen", "hundert", "tausend", "cent", "mille", "mil", "honderd", "duizend"}
"""Scales that are a number by themselves; `hundred` needs one before it (`a few hundred` is read elsewhere)."""
_ARTICLES = frozenset({"a", "an", "one", "eine", "une", "un", "una", "uma", "um"})
_AND = r"(?:\s+(?:and|und|et|y|e)\s+|[\s-]+)"
_GLUED_GERMAN = re.compile(
    r"(?:(?P<hundreds>ein|zwei|drei|vier|fünf|sechs|sieben|acht|neun)?hundert)?(?:und)?"
    r"(?:(?P<ones>ein|zwei|drei|vier|fünf|sechs|sieben|acht|neun)und)?(?P<rest>zwanzig|dreißig|dreissig|vierzig|fünfzig|sechzig|siebzig|achtzig|"
    r"neunzig|zehn|elf|zwölf|\w{0,12}zehn)?",
    re.IGNORECASE,
)


@cache
def _values() -> dict[str, int]:
    """Every word that is a number, with its value."""
    pairs = (pair.rpartition(" ") for words in (_ENGLISH, *_OTHERS) for pair in words.split(","))
    return {word: int(value) for word, _, value in pairs}


@cache
def _written() -> re.Pattern[str]:
    """A run of number words, or digits with a scale word behind them."""
    units, scales = _any_of(_values()), _any_of(_SCALES)
    article, ends = (
        _any_of(_ARTICLES),
        r"(?![^\W_]|'|[- ](?:third|quarter|fifth|half|halves|tenth)s?\b)(?<!sept(?=[ .]))",
    )
    word = rf"(?:{units}|{scales})"
    return re.compile(
        rf"(?<![^\W_])(?<![-.'])(?:(?P<digits>\d{{1,6}}(?:[.,]\d{{1,3}})?)\s*(?P<scale>(?:tsd|tys|tis|тыс)\.|{scales})(?:{_AND}(?:{units}))*"
        rf"|(?:(?:half\s+(?:{article})|(?<!of )(?<!half )(?:{article}))\s+(?={scales}))?(?<!of a ){word}(?:{_AND}{word})*){ends}",
        re.IGNORECASE,
    )


@cache
def _glued() -> re.Pattern[str]:
    return re.compile(r"(?<![^\W_])(?=\w{0,20}(?:hundert|zig|ßig|ssig))[a-zäöüß]{6,40}(?![^\W_])", re.IGNORECASE)


def _any_of(words: Iterable[str]) -> str:
    return "|".join(sorted((re.escape(w).replace(r"\ ", r"\s+") for w in words), key=len, reverse=True))


def in_digits(text: str) -> str:
    """The text with every number that it writes out in digits."""
    text = _in_han_digits(text)
    text = _glued().sub(lambda m: _german(m.group()), text)
    return _SAID_TWICE.sub(_once, _written().sub(_digits_of, text))


_SAID_TWICE = re.compile(r"(?<![\w.,])(?P<n>\d{1,6}|one|an?)\s*\(\s*(?P<again>\d{1,6})\s*\)(?=\s)", re.IGNORECASE)


def _once(match: re.Match[str]) -> str:
    """`twelve (12)` as contracts write it, once."""
    same = match["again"] == (match["n"] if match["n"].isdigit() else "1")
    return match["again"] if same else match.group()


_AMBIGUOUS = {
    "cent": r"\b(?:euros?|dollars?|per)\b",
    "cents": r"\b(?:euros?|dollars?|per|usd)\b",
    "mil": r"\bmil[- ]?std",
}
_NO_NUMBER_BEHIND = re.compile(r"\s*(?:%|percent)")


def _digits_of(match: re.Match[str]) -> str:
    """One run in digits; runs that are no number stay as they are."""
    said = match.group().lower()
    if match["digits"]:
        whole = (
            float(match["digits"].replace(",", "."))
            if re.search(r"[.,]\d{1,2}$", match["digits"])
            else float(re.sub(r"[.,]", "", match["digits"]))
        )
        rest = _sum(re.findall(r"[^\W\d_]+", said[match.end("scale") - match.start() :]))
        return f"{round(whole * _SCALES[match['scale'].lower().rstrip('.')] + rest)}"
    words = [w for w in re.findall(r"[^\W\d_]+", said) if w not in ("and", "und", "et", "y", "e")]
    half = words[0] == "half"
    words = words[1:] if half else words
    article = words[0] in _ARTICLES
    if words[0] in _SCALES and not article and not (len(words) == 1 and words[0] in _ALONE):
        return match.group()
    if any(w in _AMBIGUOUS and re.search(_AMBIGUOUS[w], match.string, re.IGNORECASE) for w in words):
        return match.group()
    amount = _sum(words[1:] if article else words)
    return f"{amount // 2 if half else amount}"


def _sum(words: list[str]) -> int:
    """The value of number words in their order: what stands before a scale multiplies it."""
    total = part = 0
    values = _values()
    for word in words:
        if word in values:
            part = part * 20 if part == 4 and values[word] == 20 and word.startswith("vingt") else part + values[word]
        elif _SCALES.get(word, 0) >= 1000:
            total, part = total + max(part, 1) * _SCALES[word], 0
        elif word in _SCALES:
            part = max(part, 1) * _SCALES[word]
    return total + part


def _german(word: str) -> str:
    """`zweihundertfünfzig`, `fünfundzwanzig`; the word itself where it is none."""
    match = _GLUED_GERMAN.fullmatch(word)
    if match is None or not (match["rest"] or "hundert" in word.lower()):
        return word
    values = {**_values(), "ein": 1}
    rest = (match["rest"] or "").lower()
    if rest and rest not in values:
        return word
    hundreds = values[(match["hundreds"] or "ein").lower()] * 100 if "hundert" in word.lower() else 0
    return f"{hundreds + values.get((match['ones'] or '').lower(), 0) + values.get(rest, 0)}"


# --- Chinese, Japanese, Korean --------------------------------------------------------------------------------------------

_HAN = {"一": 1, "二": 2, "两": 2, "兩": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10, "百": 100, "千": 1000, "万": 10_000, "萬": 10_000}  # fmt: skip
_KOREAN = {
    "하나": 1, "한": 1, "두": 2, "세": 3, "네": 4, "다섯": 5, "여섯": 6, "일곱": 7, "여덟": 8, "아홉": 9, "열두": 12, "열여섯": 16, "열": 10,
    "스무": 20, "스물": 20, "서른": 30, "마흔": 40, "쉰": 50,
}  # fmt: skip
_COUNTED = "[台张块枚个個基名位卡路节節人颗件本장대개명]"
_HAN_NUMBER = re.compile(
    rf"(?<![第同统唯每])(?P<n>[一二两兩三四五六七八九十百千万]+)(?=\s*(?:{_COUNTED}|并发|用户|节点|機|服务器|机器|ノード|サーバ))"
)
_KOREAN_NUMBER = re.compile(rf"(?<![가-힣])(?P<n>{'|'.join(_KOREAN)})(?=\s*(?:[장대개명]|노드))")
_MYRIAD = re.compile(r"(?P<n>\d{1,6}(?:\.\d{1,3})?)\s*(?P<scale>[百千万萬]|천|만)")
_MYRIADS = {"百": 100, "千": 1000, "万": 10_000, "萬": 10_000, "천": 1000, "만": 10_000}


def _in_han_digits(text: str) -> str:
    text = _MYRIAD.sub(lambda m: f"{round(float(m['n']) * _MYRIADS[m['scale']])}", text)
    text = _HAN_NUMBER.sub(
        lambda m: m["n"] if m["n"] == "一" and text[m.end() : m.end() + 1] in "个個位名" else f"{_han(m['n'])}", text
    )
    return _KOREAN_NUMBER.sub(lambda m: f"{_KOREAN[m['n']]}", text)


def _han(digits: str) -> int:
    """`二十四` is 24, `十六` is 16, `三百` is 300."""
    total = part = 0
    for digit in digits:
        value = _HAN[digit]
        if value == 10_000:
            total, part = (total + part or 1) * value, 0
        elif value >= 10:
            total, part = total + (part or 1) * value, 0
        else:
            part = value
    return total + part
