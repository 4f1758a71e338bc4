"""Ways to write a text so that it says the same: frames, separators, units, synonyms, asides. A reading must not change with them.

Each takes a text and gives the reworded one, or None where the text does not lend itself to it.
"""

import json
import re
import textwrap
from collections.abc import Callable, Mapping

Rewording = Callable[[str], str | None]

_STOP = re.compile(r"(?<=[a-z\d)%\]][.!])[ \t]+(?=[A-Z])")
"""Between two sentences of a Latin script."""
_ABBREVIATED = re.compile(
    r"\b(?:e\.g|i\.e|approx|ca|max|min|avg|incl|resp|no|vs|etc|z\.B|p\.ej|ex|Mr|Dr)\.$", re.IGNORECASE
)
_LAID_OUT = re.compile(r"\n|\|")
_MARKED = re.compile(r"[{}<>|`]|^\s*[-*#>\d]", re.MULTILINE)


def sentences(text: str) -> list[str]:
    """The sentences of running text; an abbreviation ends none."""
    found = [""]
    for part in _STOP.split(text):
        joined = found[-1] and _ABBREVIATED.search(found[-1])
        found = [*found[:-1], f"{found[-1]} {part}"] if joined else [*found, part]
    return [one for one in found if one]


def _behind(words: str) -> Rewording:
    return lambda text: f"{text.rstrip()}{'' if text.rstrip()[-1:] in '.!?。？' else '.'}{words}"


def _ahead(words: str) -> Rewording:
    return lambda text: f"{words}{text}"


def _between(words: str) -> Rewording:
    """A sentence that says nothing of the plan, behind the first one."""

    def inserted(text: str) -> str | None:
        first, *rest = sentences(text)
        return " ".join([first, words, *rest]) if rest and not _LAID_OUT.search(text) else None

    return inserted


def _separated(mark: str) -> Rewording:
    """The sentences with another mark between them."""

    def joined(text: str) -> str | None:
        parts = sentences(text)
        if len(parts) < 2 or _LAID_OUT.search(text) or "?" in text:
            return None
        return mark.join(part.rstrip(".") if mark.strip() else part for part in parts)

    return joined


def _line_by_line(form: str) -> Rewording:
    """Each sentence as a line of its own."""

    def listed(text: str) -> str | None:
        parts = sentences(text)
        if len(parts) < 2 or _LAID_OUT.search(text):
            return None
        return "\n".join(form.format(number=n, text=part) for n, part in enumerate(parts, 1))

    return listed


def _replaced(pattern: str, plain: str | Callable[[re.Match[str]], str], flags: int = 0) -> Rewording:
    found = re.compile(pattern, flags)

    def rewritten(text: str) -> str | None:
        new = found.sub(plain, text)
        return new if new != text else None

    return rewritten


def _wrapped(text: str) -> str | None:
    """Broken into short lines, as a mail program does."""
    return (
        textwrap.fill(text, 58, break_long_words=False, break_on_hyphens=False)
        if "\n" not in text and len(text) > 58
        else None
    )


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


def _as_json(text: str) -> str | None:
    return (
        None
        if _MARKED.search(text) or "\n" in text
        else json.dumps({"user": "jo", "message": text}, ensure_ascii=False)
    )


def _as_yaml(text: str) -> str | None:
    return None if _MARKED.search(text) else "request: |\n" + textwrap.indent(text, "  ")


def _lowered(text: str) -> str | None:
    return text.lower() if not re.search(r"\d\s?[GM]B|[A-Z]\w*/[A-Z]|\bM\b", text) and text != text.lower() else None


def _milliseconds(match: re.Match[str]) -> str:
    return f"{round(float(match['n']) * 1000)} ms"


def _seconds(match: re.Match[str]) -> str:
    return f"{int(match['n']) / 1000:g} s"


_PROSE_NUMBER = r"(?<![\w.,/:=-])"

REWORDINGS: Mapping[str, Rewording] = {
    # what stands around a text
    "greeted": _ahead("Hi all, hope everyone is well. "),
    "greeted in lines": _ahead("Good morning team,\n\n"),
    "asked for help": _ahead("Quick question from the platform team: "),
    "titled": _ahead("Subject: Re: capacity for the new service\n\n"),
    "spoken by a name": _ahead("[10:42] mara: "),
    "thanked": _behind(" Thanks a lot!"),
    "signed": _behind("\n\nBest regards,\nMara Klein\nPlatform Engineering"),
    "signed with a line": _behind("\n-- \nJo Berg, ML infra, desk 4.17"),
    "sent from a phone": _behind("\n\nSent from my phone"),
    "asked for the plan": _behind(" What would you propose?"),
    "asked for TP and PP": _behind(" Which TP and PP should we use?"),
    "offered a call": _behind(" Happy to hop on a call if anything is unclear."),
    "asked for an explanation": _behind(" Please explain why you chose it."),
    # how it is laid out
    "quoted": _quoted,
    "fenced": lambda text: f"```\n{text}\n```",
    "in bold": lambda text: f"**Request**\n\n{text}\n",
    "wrapped": _wrapped,
    "as JSON": _as_json,
    "as YAML": _as_yaml,
    "in quotation marks": lambda text: f'"{text}"' if '"' not in text else None,
    "in lines": _separated("\n"),
    "in paragraphs": _separated("\n\n"),
    "in bullets": _line_by_line("- {text}"),
    "in numbered lines": _line_by_line("{number}. {text}"),
    "with semicolons": _separated("; "),
    "with dashes": _separated(" - "),
    "with bars": _separated(" | "),
    "with commas": _separated(", "),
    "spaced twice": _replaced(r"(?<=\S) (?=\S)", "  "),
    "with hard spaces": _replaced(r"(?<=\d) (?=[A-Za-z])", "\N{NO-BREAK SPACE}"),
    "in lower case": _lowered,
    # what says nothing
    "a tool aside": _between("Monitoring is done with Grafana."),
    "a place aside": _between("The data centre is in Frankfurt."),
    "a person aside": _between("My manager wants to see a proposal this week."),
    "a bracket aside": _between("(Finance has already signed this off.)"),
    "a storage aside": _between("Checkpoints are kept on a Ceph volume."),
    "a gateway aside": _between("Everything goes through our API gateway."),
    "a customer aside": _between("The customer is a bank."),
    # units and numbers
    "seconds as milliseconds": _replaced(_PROSE_NUMBER + r"(?P<n>[1-9](?:\.\d)?) ?(?:s|sec|seconds?)\b(?! (?:token|word|host|node))", _milliseconds),
    "milliseconds as seconds": _replaced(_PROSE_NUMBER + r"(?P<n>[1-9]\d{2,3}) ?ms\b", _seconds),
    "milliseconds tight": _replaced(r"(?<=\d) ms\b", "ms"),
    "milliseconds apart": _replaced(r"(?<=\d)ms\b", " ms"),
    "milliseconds in full": _replaced(r"(?<=\d) ?ms\b", " milliseconds"),
    "commas in thousands": _replaced(_PROSE_NUMBER + r"(?P<n>[1-9]\d{3,4})(?= (?:tokens|input|output|prompt|in\b|out\b))", lambda m: f"{int(m['n']):,}"),
    "no commas in thousands": _replaced(r"(?<![\w.,])(\d{1,3}),(\d{3})(?![\w,.]*\d)", r"\1\2"),
    "tokens a second": _replaced(r"\b(?:tok|tokens)/s\b", "tokens per second"),
    "requests a second": _replaced(r"\b(?:req/s|rps)\b", "requests per second"),
    "requests clipped": _replaced(r"\brequests per second\b", "req/s"),
    # words for the same
    "hosts for nodes": _replaced(r"\bnodes\b", "hosts"),
    "servers for nodes": _replaced(r"\bnodes\b", "servers"),
    "machines for servers": _replaced(r"\bservers\b", "machines"),
    "cards for GPUs": _replaced(r"(?<=\d )GPUs\b", "cards"),
    "simultaneous": _replaced(r"\bconcurrent\b", "simultaneous"),
    "in parallel": _replaced(r"\bin flight\b", "in parallel"),
    "TTFT in full": _replaced(r"\bTTFT\b", "time to first token"),
    "TPOT in full": _replaced(r"\bTPOT\b", "time per output token"),
    "ITL for TPOT": _replaced(r"\bTPOT\b", "ITL"),
    "completions": _replaced(r"\banswers\b", "completions"),
    "with ampersands": _replaced(r"(?<=[a-z\d]) and (?=\d)", " & "),
    "by the sign": _replaced(r"(?<=\d)x(?=\d|[ ]?[A-Z])", "\N{MULTIPLICATION SIGN}"),
}  # fmt: skip
"""How a text can be written otherwise, by the name of the way."""
