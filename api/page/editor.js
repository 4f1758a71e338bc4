// A DAG document as text, judged while it is typed.

import { Problem, layout, validate } from "/page/client.js";
import { copyButton, count, h } from "/page/dom.js";

const DELAY_MS = 250;

export class Editor {
  constructor(root, { onPicture, share }) {
    this.root = root;
    this.onPicture = onPicture;
    this.positions = {};
    this.area = h("textarea", { id: "source", class: "source", spellcheck: "false", autocomplete: "off", wrap: "off", "aria-label": "DAG document, YAML or JSON", "aria-describedby": "verdict-now" });
    this.gutter = h("pre", { class: "gutter", "aria-hidden": "true" });
    this.verdict = h("p", { id: "verdict-now", class: "hint", role: "status" });
    this.list = h("ul", { class: "findings", "aria-label": "Findings in the document" });
    this.note = h("p", { class: "hint stale", hidden: true }, "Edited: the numbers, GPUs and files elsewhere on this page are still those of the plan.");
    root.replaceChildren(
      h("div", { class: "filehead" }, this.verdict, h("span", { class: "space" }), copyButton(() => this.area.value), copyButton(share, "Copy link")),
      h("div", { class: "code" }, this.gutter, this.area), this.list, this.note,
    );
    this.area.addEventListener("input", () => { this.number(); this.later(); });
    this.area.addEventListener("scroll", () => { this.gutter.scrollTop = this.area.scrollTop; });
    this.area.addEventListener("keydown", (event) => this.key(event));
  }

  get text() { return this.area.value; }

  // `request` (YAML or JSON value) goes with every check, so that rules about the cluster can speak.
  open(text, request) {
    this.request = request;
    this.opened = text;
    this.area.value = text;
    this.number();
    return this.check(false);
  }

  // Tab indents; Escape first, and Tab leaves the field, so that nobody is trapped.
  key(event) {
    if (event.key === "Escape") { this.leaving = true; return; }
    if (event.key !== "Tab" || this.leaving || event.shiftKey) { this.leaving = false; return; }
    event.preventDefault();
    this.area.setRangeText("  ", this.area.selectionStart, this.area.selectionEnd, "end");
    this.number();
    this.later();
  }

  number(marks = this.marks ?? new Map()) {
    this.marks = marks;
    const count = this.area.value.split("\n").length;
    this.gutter.replaceChildren(...Array.from({ length: count }, (_, i) => h("span", { class: marks.get(i + 1) ?? null }, `${i + 1}\n`)));
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(true), DELAY_MS);
    this.verdict.textContent = "Checking…";
  }

  // A document that comes from nowhere, such as a link, answers no request.
  openAlone(text) {
    this.request = null;
    this.opened = null;
    this.area.value = text;
    this.number();
    return this.check(true);
  }

  // The document with its request around it, when it is JSON; a YAML document is wrapped by indentation.
  wrapped() {
    if (!this.request) return { text: this.text, shift: 0 };
    const request = JSON.stringify(this.request);
    if (this.text.trimStart().startsWith("{")) return { text: `{"request":${request},"dag":${this.text}\n}`, shift: 0 };
    return { text: `request: ${request}\ndag:\n${this.text.replace(/^(?=.)/gm, "  ")}`, shift: 2 };
  }

  async check(drawn) {
    this.abort?.abort();
    this.abort = new AbortController();
    const { signal } = this.abort, { text, shift } = this.wrapped();
    try {
      const [judged, picture] = await Promise.all([validate(text, signal), layout(text, { ...this.view?.(), positions: true }, signal)]);
      this.positions = Object.fromEntries(Object.entries(picture.positions).map(([pointer, [line, column]]) => [pointer, [line - shift, column - shift]]));
      this.tell(judged);
      if (drawn && picture.grid) this.onPicture(picture, judged);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.fail(error, shift);
    }
  }

  tell({ valid, findings, proof }) {
    this.note.hidden = this.opened === null || this.text === this.opened;
    const errors = findings.filter((finding) => finding.severity === "error").length;
    const others = findings.length - errors;
    const proved = proof ? `proof ${proof.passed ? "passed" : "failed"}` : null;
    this.verdict.textContent = [valid ? "Valid" : count(errors, "error"), proved, others ? count(others, "remark") : null].filter(Boolean).join(", ");
    this.verdict.className = `hint ${valid ? "ok" : "bad"}`;
    const told = findings.map((finding) => ({ ...finding, line: this.line(finding.path) }));
    this.mark([...told.filter((finding) => finding.severity === "error"), ...told.filter((finding) => finding.severity !== "error")]);
  }

  fail(error, shift) {
    const document = error instanceof Problem ? error.document : {};
    const place = document.errors?.[0] ?? document;
    const line = place.line ? Math.max(1, place.line - shift) : null;
    this.verdict.textContent = "Not readable";
    this.verdict.className = "hint bad";
    this.mark([{ code: "", severity: "error", message: error.message, hint: document.hint ?? "", path: place.pointer ?? "", line }]);
  }

  mark(findings) {
    const marks = new Map();
    for (const { line, severity } of findings) if (line && marks.get(line) !== "error") marks.set(line, severity);
    this.number(marks);
    this.list.replaceChildren(...findings.map((finding) => h("li", { class: finding.severity },
      h("button", { type: "button", class: "finding", onclick: () => this.goTo(finding.line) },
        h("b", null, [finding.line ? `line ${finding.line}` : null, finding.code].filter(Boolean).join(" · ")), h("span", null, finding.message), finding.hint && h("span", { class: "fix" }, finding.hint), h("code", null, finding.path || "/")))));
  }

  line(pointer) {
    while (pointer && !this.positions[pointer]) pointer = pointer.slice(0, pointer.lastIndexOf("/"));
    return this.positions[pointer]?.[0] ?? 1;
  }

  goTo(line) {
    if (!line) return;
    const lines = this.area.value.split("\n"), start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    this.area.focus();
    this.area.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
    const height = this.area.scrollHeight / Math.max(1, lines.length);
    this.area.scrollTop = Math.max(0, (line - 4) * height);
    this.area.scrollLeft = 0;
  }
}
