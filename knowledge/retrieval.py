"""The knowledge base as citable sections: ours, and folders of the user's own beside it.

Pages are data. A user's page is never code or instruction here: it is limited in size, read as UTF-8 text, and what cannot be
read is skipped and reported by `Library.skipped`. Folders of users are looked at on every call, so an added or changed page
needs no restart.
"""

import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from knowledge.markdown import Passage, passages
from knowledge.ranking import Ranking

PAGES = Path(__file__).with_name("pages")
MAX_FILES = 2_000
MAX_FILE_BYTES = 256 * 1024
MAX_SECTIONS_PER_FILE = 1_000
MAX_SECTION_CHARS = 8_000
MAX_QUERY_CHARS = 2_000
MOST_REMEMBERED = 512
"""Questions whose answers are kept while no page changes."""


@dataclass(frozen=True, slots=True)
class Section:
    """A passage that can be shown and cited."""

    ref: str
    """`file.md#anchor`; pages of a user's folder are `folder/file.md#anchor`."""
    title: str
    page: str
    """Title of the page it is on."""
    text: str
    score: float = 0.0
    """How well it answers the query that found it (the best by one look has 1 of it), 0 where there was none."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file, or the rest of one, that is not part of the library."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class BadCitation:
    """A reference to something that was not shown; `nearest` holds what may have been meant."""

    ref: str
    nearest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Citations:
    """Citations of an answer, told apart by whether they were shown."""

    accepted: tuple[str, ...]
    refused: tuple[BadCitation, ...]


def cite(refs: Iterable[str], shown: Collection[str]) -> Citations:
    """Accept only references to sections that were shown, each once and in order."""
    asked = dict.fromkeys(ref.strip(" `[]()") for ref in refs)
    accepted = tuple(ref for ref in asked if ref in shown)
    refused = (
        BadCitation(ref[:200], tuple(get_close_matches(ref[:200], shown, n=3))) for ref in asked if ref not in shown
    )
    return Citations(accepted, tuple(refused))


@cache
def library(folders: tuple[Path, ...] = ()) -> "Library":
    """The one library over our pages and `folders` of this process."""
    return Library(folders)


class Library:
    """Sections of our pages and of `folders`, searchable; safe to share between threads."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = _named([Path(folder) for folder in folders])
        self._state: _State | None = None

    def search(self, query: str, k: int) -> list[Section]:
        """The `k` best sections for `query`, best first; fewer where fewer match at all. Ties go by file order."""
        return self._current().search(query[:MAX_QUERY_CHARS], k)

    def get(self, ref: str) -> Section | None:
        """The section a reference names, or None."""
        return self._current().by_ref.get(ref)

    def refs(self) -> list[str]:
        """Every reference, our pages first, in file order."""
        return list(self._current().by_ref)

    def skipped(self) -> tuple[Skipped, ...]:
        """Files that could not be taken in, and why."""
        return self._current().skipped

    def digest(self, refs: Iterable[str] | None = None) -> str:
        """Fingerprint (16 hex digits) of the named sections that exist, or of the whole library."""
        by_ref = self._current().by_ref
        chosen = by_ref.values() if refs is None else [by_ref[ref] for ref in sorted(set(refs)) if ref in by_ref]
        joined = "\x00".join(f"{section.ref}\x00{section.title}\x00{section.text}" for section in chosen)
        return hashlib.sha256(joined.encode()).hexdigest()[:16]

    def _current(self) -> "_State":
        """What the folders hold now; read again only when a name, size or time of a file changed."""
        files, skipped = _listing(self._folders)
        state = self._state
        if state is None or state.files != files:
            state = _read_all(files, skipped, state)
            self._state = state
        return state


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    name: str
    size: int
    changed_ns: int
    inode: int


@dataclass(frozen=True)
class _State:
    """One consistent view of the folders."""

    files: tuple[_File, ...]
    contents: dict[_File, tuple[tuple[Section, ...], tuple[Skipped, ...]]]
    skipped: tuple[Skipped, ...]
    remembered: dict[tuple[str, int], list[Section]] = field(default_factory=dict)
    """Answers to questions."""

    @cached_property
    def by_ref(self) -> dict[str, Section]:
        return {section.ref: section for file in self.files for section in self.contents[file][0]}

    @cached_property
    def sections(self) -> list[Section]:
        return list(self.by_ref.values())

    @cached_property
    def ranking(self) -> Ranking:
        return Ranking(self.sections)

    def search(self, query: str, k: int) -> list[Section]:
        """The best sections; remembered, since the same few questions are asked for every request of a kind."""
        found = self.remembered.get((query, k))
        if found is None:
            found = self._searched(query, k)
            if len(self.remembered) >= MOST_REMEMBERED:
                self.remembered.clear()
            self.remembered[query, k] = found
        return list(found)

    def _searched(self, query: str, k: int) -> list[Section]:
        if k < 1:
            return []
        scores = self.ranking.scores(query)
        best = np.argsort(-scores, kind="stable")[:k].tolist()
        return [replace(self.sections[i], score=round(float(scores[i]), 4)) for i in best if scores[i] > 0]


def sections_of(folder: Path) -> list[Section]:
    """The sections of one folder's pages, as references without a prefix name them."""
    files, _ = _listing([("", folder)])
    return [section for file in files for section in _read(file)[0]]


def _named(folders: list[Path]) -> list[tuple[str, Path]]:
    """Folders with the prefix of their references: none for ours, the folder's name (numbered if repeated) for others."""
    named = [("", PAGES)]
    taken = {""}
    for folder in folders:
        if folder.resolve() == PAGES.resolve():
            continue
        base = folder.resolve().name or "folder"
        prefix = next(
            name for name in (base, *(f"{base}-{n}" for n in range(1, len(folders) + 1))) if name not in taken
        )
        taken.add(prefix)
        named.append((f"{prefix}/", folder))
    return named


Listing = tuple[tuple[_File, ...], tuple[Skipped, ...]]


def _listing(folders: list[tuple[str, Path]]) -> Listing:
    """Markdown files of all folders in order, without opening any."""
    found = [_own_pages() if folder == PAGES else _pages_in(prefix, folder) for prefix, folder in folders]
    return tuple(file for files, _ in found for file in files), tuple(one for _, skipped in found for one in skipped)


@cache
def _own_pages() -> Listing:
    """Our pages, looked for once: they come with the code and change no more often."""
    return _pages_in("", PAGES)


def _pages_in(prefix: str, folder: Path) -> Listing:
    if not folder.is_dir():
        return (), (Skipped(str(folder), "is not a folder that can be read"),)
    found = [_describe(path, prefix, folder) for path in _markdown_paths(folder)]
    skipped = [one for one in found if isinstance(one, Skipped)]
    taken = [one for one in found if isinstance(one, _File)]
    if len(taken) > MAX_FILES:
        skipped.append(Skipped(str(folder), f"has {len(taken)} pages, only the first {MAX_FILES} are read"))
    return tuple(taken[:MAX_FILES]), tuple(skipped)


def _markdown_paths(folder: Path) -> Iterator[Path]:
    """Paths ending in .md below `folder` in name order; hidden folders and linked folders are not entered."""
    for base, names, file_names in os.walk(folder, followlinks=False):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield from (Path(base, name) for name in sorted(file_names) if name.lower().endswith(".md"))


def _describe(path: Path, prefix: str, folder: Path) -> _File | Skipped:
    name = prefix + path.relative_to(folder).as_posix()
    try:
        real, status = path, path.lstat()
        if stat.S_ISLNK(status.st_mode):
            real = path.resolve(strict=True)
            if not real.is_relative_to(folder.resolve()):
                return Skipped(name, "links to a file outside the folder")
            status = real.stat()
    except (OSError, RuntimeError):
        return Skipped(name, "cannot be read")
    if not stat.S_ISREG(status.st_mode):
        return Skipped(name, "is not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        return Skipped(name, f"has {status.st_size} bytes, the limit is {MAX_FILE_BYTES}")
    return _File(real, name, status.st_size, status.st_mtime_ns, status.st_ino)


def _read_all(files: tuple[_File, ...], skipped: tuple[Skipped, ...], before: _State | None) -> _State:
    """Read what is new; take unchanged files from the view before."""
    known = before.contents if before else {}
    contents = {file: known[file] if file in known else _read(file) for file in files}
    notes = [note for file in files for note in contents[file][1]]
    return _State(files, contents, (*skipped, *notes))


def _read(file: _File) -> tuple[tuple[Section, ...], tuple[Skipped, ...]]:
    try:
        with file.path.open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        return (), (Skipped(file.name, "is not UTF-8 text"),)
    except OSError:
        return (), (Skipped(file.name, "cannot be read"),)
    found = passages(text, title=Path(file.name).stem)
    page = next((passage.title for passage in found), "")
    sections = tuple(_section(file.name, page, passage) for passage in found[:MAX_SECTIONS_PER_FILE])
    return sections, tuple(_cuts(file.name, found))


def _section(name: str, page: str, passage: Passage) -> Section:
    text = passage.text
    if len(text) > MAX_SECTION_CHARS:
        text = text[:MAX_SECTION_CHARS] + " …"
    return Section(f"{name}#{passage.anchor}", passage.title[:200], page[:200], text)


def _cuts(name: str, found: list[Passage]) -> Iterator[Skipped]:
    """What was left out of a page that was read."""
    if len(found) > MAX_SECTIONS_PER_FILE:
        yield Skipped(name, f"has {len(found)} sections, only the first {MAX_SECTIONS_PER_FILE} are read")
    for passage in found[:MAX_SECTIONS_PER_FILE]:
        if len(passage.text) > MAX_SECTION_CHARS:
            yield Skipped(f"{name}#{passage.anchor}", f"is cut after {MAX_SECTION_CHARS} characters")
