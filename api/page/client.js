// The REST API: plans (streamed where the server streams), verdicts, pictures, exports.

export class Problem extends Error {
  constructor(status, document, retryAfter = null) {
    super(document.detail || document.title || `the server answered ${status}`);
    this.status = status;
    this.document = document;
    this.retryAfter = retryAfter;
  }
}

async function read(response) {
  if (response.ok) return response;
  let document = {};
  try { document = await response.json(); } catch { /* not a problem document: the status must do */ }
  const after = Number(response.headers.get("retry-after"));
  throw new Problem(response.status, document, after > 0 ? Math.ceil(after) : null);
}

// The API key of a service that wants one; kept until the tab closes.
let key = stored();
function stored() { try { return sessionStorage.getItem("key"); } catch { return null; } }
export function useKey(text) {
  key = text;
  try { sessionStorage.setItem("key", text); } catch { /* storage is off: the key lasts until the page is left */ }
}

async function request(path, options = {}) {
  try {
    return await fetch(path, { ...options, headers: { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) } });
  } catch (error) {
    return lost(error);
  }
}

// A connection that could not be made, or that broke.
function lost(error) {
  if (error.name === "AbortError") throw error;
  throw new Problem(0, { detail: "Nothing comes back from this page's own address.", hint: "Look whether `meshwright serve` still runs, then try again." });
}

const JSON_TYPE = { "Content-Type": "application/json" };
const post = async (path, body, headers = JSON_TYPE, signal = undefined) => read(
  await request(path, { method: "POST", headers, signal, body: typeof body === "string" ? body : JSON.stringify(body) }),
);
const documentType = (text) => ({ "Content-Type": text.trimStart().startsWith("{") ? "application/json" : "application/yaml" });

// Server-sent events of a response body, as {type, data}.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read().catch(lost);
    if (done) return;
    buffer += value.replaceAll("\r\n", "\n");
    let end;
    while ((end = buffer.indexOf("\n\n")) >= 0) {
      const event = parse(buffer.slice(0, end));
      buffer = buffer.slice(end + 2);
      if (event) yield event;
    }
  }
}

function parse(block) {
  let type = "message", id = null;
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) type = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
    else if (line.startsWith("id:")) id = line.slice(3).trim();
  }
  return data.length ? { type, id, data: JSON.parse(data.join("\n")) } : null;
}

let streams = true;
const UNFINISHED = new Set(["queued", "running"]);

// The Result of a request; `onEvent` hears of each step when the server streams. Resolves to {result, run}.
export async function plan(text, onEvent, signal) {
  if (streams) {
    const response = await request("/v1/strategies/stream", { method: "POST", headers: JSON_TYPE, signal, body: JSON.stringify({ text }) });
    if (response.status !== 404 && response.status !== 405) return follow(await read(response), onEvent, signal);
    streams = false;
  }
  const result = await (await post("/v1/strategies", { text }, JSON_TYPE, signal)).json();
  return { result, run: null };
}

async function follow(response, onEvent, signal, known = null) {
  let run = response.headers.get("location")?.split("/").pop() ?? response.headers.get("x-run-id") ?? known;
  for await (const event of events(response)) {
    run = event.data?.run_id ?? event.data?.run ?? event.data?.id ?? run;
    if (event.type === "error" || event.type === "problem") throw new Problem(event.data.status ?? 500, event.data);
    const result = event.data?.result ?? event.data;
    if (event.type === "result" && result && "dag" in result) return { result, run };
    onEvent(event);
  }
  if (run) return { result: resultOf(await storedRun(run, signal)), run };
  throw new Problem(502, { detail: "the stream ended without a result" });
}

const storedRun = async (id, signal) => (await read(await request(`/v1/runs/${encodeURIComponent(id)}`, { signal }))).json();

function resultOf(run) {
  if (run.result && "dag" in run.result) return run.result;
  throw new Problem(404, run.error ?? { detail: `run \`${run.id}\` ended without a result (${run.status})` });
}

// The Result of a stored run; one that is not over yet is followed to its end.
export async function savedRun(id, onEvent, signal) {
  const run = await storedRun(id, signal);
  if (run.result || !UNFINISHED.has(run.status)) return { result: resultOf(run), run: id };
  return follow(await read(await request(`/v1/runs/${encodeURIComponent(id)}/events`, { signal })), onEvent, signal, id);
}

export const validate = async (text, signal) => (await post("/v1/validate", text, documentType(text), signal)).json();

export async function layout(text, { unfold = [], collapse = null, concurrency = null, positions = false } = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const key of unfold) query.append("unfold", key);
  if (collapse !== null) for (const key of collapse.length ? collapse : ["none"]) query.append("collapse", key);
  if (concurrency) query.append("concurrency", concurrency);
  query.append("positions", String(positions));
  const picture = await (await post(`/v1/layout?${query}`, text, documentType(text), signal)).json();
  for (const parts of ["bands", "columns", "groups"]) {
    for (const part of picture.grid?.[parts] ?? []) part.box = rectangle(part.box);
  }
  return picture;
}

const rectangle = ([x, y, w, h]) => ({ x, y, w, h });

export async function formats() {
  return (await read(await request("/v1/exports"))).json();
}

// The files of an export: [{name, media_type, text | base64}].
export async function exportFiles(format, text, signal) {
  const response = await post(`/v1/export/${format}`, text, documentType(text), signal);
  const type = response.headers.get("content-type") ?? "";
  if (/json|yaml|text|xml|toml|shell/.test(type)) {
    const content = await response.text();
    if (type.includes("json")) {
      const body = JSON.parse(content);
      if (Array.isArray(body.files) && body.files.every((file) => file.name)) return body.files;
    }
    return [{ name: fileName(format, type), media_type: type, text: content }];
  }
  return [{ name: fileName(format, type), media_type: type, blob: await response.blob() }];
}

function fileName(format, type) {
  const suffix = ["json", "yaml", "mermaid", "dot", "graphml", "npz"].includes(format) ? format
    : type.includes("json") ? "json" : type.includes("yaml") ? "yaml" : type.includes("shell") ? "sh" : "txt";
  return `${format === "json" || format === "yaml" ? "dag" : format}.${suffix}`;
}

// A section of the knowledge base by its reference.
export const section = async (ref) => (await read(await request(`/v1/knowledge?ref=${encodeURIComponent(ref)}`))).json();

// A document to begin with.
export const sample = async () => (await read(await request("/page/sample.yaml"))).text();
