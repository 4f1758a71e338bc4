"""The files of the page: small, our own, and safe under a strict policy. No browser needed."""

import re
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from api.bundle import joined
from api.documents import judge_document
from api.routes.page import ASSETS, FOLDER, MEDIA, POLICY
from validators.documents import read_document

MAX_BYTES = 400_000
VOID = {"meta", "link", "br", "hr", "img", "input", "path"}
NAMESPACE = "http://www.w3.org/2000/svg"


class Page(HTMLParser):
    """Elements of a document with their attributes, and whether every one that opens also closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.text: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append((self.open[-1] if self.open else "", data))


@pytest.fixture(scope="module")
def page(files: dict[str, str]) -> Page:
    return Page(files["index.html"])


def test_all_files_together_are_small() -> None:
    assert sum(len(asset.content) for asset in ASSETS.values()) < MAX_BYTES


def test_a_dag_to_begin_with_is_valid(files: dict[str, str]) -> None:
    verdict = judge_document(read_document(files["sample.yaml"]), prove=True)

    assert (verdict.valid, verdict.findings) == (True, ())


def test_every_font_comes_with_its_licence() -> None:
    licence = (FOLDER / "FONTS.txt").read_text(encoding="utf-8")

    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    assert [name for name in ASSETS if name.endswith(".woff2") and name not in licence] == []


def test_every_file_is_served_under_the_policy_with_its_type(client: TestClient) -> None:
    for name, asset in ASSETS.items():
        answer = client.get("/" if name == "index.html" else f"/page/{name}")

        assert (answer.status_code, answer.content) == (200, asset.content), name
        assert answer.headers["content-type"] == MEDIA[f".{name.rpartition('.')[2]}"]
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_policy_allows_no_inline_code_and_no_other_host() -> None:
    assert "default-src 'none'" in POLICY
    assert "require-trusted-types-for 'script'" in POLICY
    assert not re.search(r"unsafe|data:|https?:|\*", POLICY)


def test_a_file_that_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    tag = client.get("/page/main.js").headers["etag"]

    again = client.get("/page/main.js", headers={"If-None-Match": tag})

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%2e%2e/app.py", "index.html%00", "style.css/"])
def test_nothing_else_on_disk_can_be_asked_for(client: TestClient, name: str) -> None:
    answer = client.get(f"/page/{name}")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_no_file_names_another_host(files: dict[str, str]) -> None:
    named = {
        name: re.findall(r"[a-z]*:?//[\w.-]+\.\w+[\w./]*", text.replace(NAMESPACE, "")) for name, text in files.items()
    }

    assert {name: found for name, found in named.items() if found} == {}


def test_scripts_make_no_markup_or_code_from_strings(files: dict[str, str]) -> None:
    unsafe = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(.style"
    )

    assert [name for name, text in files.items() if name.endswith(".js") and unsafe.search(text)] == []


def test_the_document_has_no_inline_style_script_or_handler(page: Page) -> None:
    attributes = {name for _, attrs in page.elements for name in attrs}

    assert [data for tag, data in page.text if tag in {"script", "style"}] == []
    assert {name for name in attributes if name.startswith("on") or name == "style"} == set()


def test_elements_nest_and_identifiers_are_unique(page: Page) -> None:
    names = [attrs["id"] for _, attrs in page.elements if "id" in attrs]

    assert (page.open, page.crossed) == ([], [])
    assert len(names) == len(set(names))


def test_controls_have_names_for_screen_readers(page: Page) -> None:
    labelled = {attrs.get("for") for tag, attrs in page.elements if tag == "label"}
    inside_label = {"find"}
    controls = [attrs for tag, attrs in page.elements if tag in {"textarea", "input", "select", "canvas"}]

    assert [
        attrs["id"] for attrs in controls if not ({attrs["id"]} & (labelled | inside_label) or attrs.get("aria-label"))
    ] == []
    assert dict(page.elements)["html"] == {"lang": "en"}


def test_references_between_files_lead_somewhere(files: dict[str, str], page: Page) -> None:
    linked = [attrs.get("href") or attrs.get("src") or "" for tag, attrs in page.elements if tag in {"link", "script"}]
    imported = [
        path for name, text in files.items() if name.endswith(".js") for path in re.findall(r'from "([^"]+)"', text)
    ]
    names = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    asked = set(re.findall(r'byId\("([^"]+)"\)', files["main.js"]))

    assert {path for path in [*linked, *imported] if path.removeprefix("/page/") not in ASSETS} == set()
    assert asked - names == set()


def test_all_modules_are_one_script_without_imports(files: dict[str, str]) -> None:
    modules = [path.stem for path in FOLDER.glob("*.js")]
    parts = re.findall(r"^const \$(\w+) = ", files["main.js"], re.MULTILINE)

    assert [name for name in files if name.endswith(".js")] == ["main.js"]
    assert (sorted(parts), parts[-1]) == (sorted(modules), "main")
    assert not re.search(r"^\s*(import|export)\b", files["main.js"], re.MULTILINE)


@pytest.mark.parametrize(
    ("modules", "told"),
    [
        ({"a": 'import { b } from "/page/b.js";\n', "b": 'import { a } from "/page/a.js";\n'}, "a -> b -> a"),
        ({"a": 'import "/page/b.js";\n', "b": ""}, "cannot join `import`"),
        ({"a": "export default 1;\n"}, "cannot join `export`"),
    ],
)
def test_modules_that_cannot_be_joined_are_refused(modules: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        joined(modules, "a")


def test_colours_that_scripts_read_are_defined_for_light_and_dark(files: dict[str, str]) -> None:
    root, *dark = re.findall(r":root[^{]*\{([^}]*)\}", files["style.css"])
    light = dict(re.findall(r"--([\w-]+):\s*(#\w+)", root))
    schemes = [dict(re.findall(r"--([\w-]+):\s*(#\w+)", block)) for block in dark if "--ink" in block]

    assert len(schemes) == 2
    assert schemes[0] == schemes[1], "the system's dark scheme and the chosen one differ"
    assert set(schemes[0]) <= set(light)
    assert all(re.fullmatch(r"#[0-9a-f]{6}", value) for scheme in (light, *schemes) for value in scheme.values())
