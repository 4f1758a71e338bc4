// The REST API: plans (streamed where the server streams), verdicts, pictures, exports.

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `the server answered ${status}`);
    this.status = status;
    this.document = document;
  }
}

async function read(response) {
  if (response.ok) return response;
  let document = {};
  try { document = await response.json(); } catch { /* not a problem document: the status must do */ }
  throw new Problem(response.status, document);
}

// The API key of a service that wants one; kept until the tab closes.
let key = stored();
function stored() { try { return sessionStorage.getItem("key"); } catch { return null; } }
export function useKey(text) {
  key = text;
  try { sessionStorage.setItem("key", text); } catch { /* storage is off: the key lasts until the page is left */ }
}

const request = (path, options = {}) => fetch(path, { ...options, headers: { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) } });

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
    const { value, done } = await reader.read();
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

async function follow(response, onEvent, signal) {
  let run = response.headers.get("location")?.split("/").pop() ?? response.headers.get("x-run-id") ?? null;
  for await (const event of events(response)) {
    run = event.data?.run_id ?? event.data?.run ?? event.data?.id ?? run;
    if (event.type === "error" || event.type === "problem") throw new Problem(event.data.status ?? 500, event.data);
    const result = event.data?.result ?? event.data;
    if (event.type === "result" && result && "dag" in result) return { result, run };
    onEvent(event);
  }
  if (run) return { result: await savedRun(run, signal), run };
  throw new Problem(502, { detail: "the stream ended without a result" });
}

export async function savedRun(id, signal) {
  const body = await (await read(await request(`/v1/runs/${encodeURIComponent(id)}`, { signal }))).json();
  const result = body.result ?? body;
  if (!("status" in result) || !("dag" in result)) throw new Problem(404, { detail: `run \`${id}\` has no result yet` });
  return result;
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
