// What a link carries: the request (`q`), a saved run (`run`) or a DAG document (`dag`, deflated), and what is unfolded.

export function readLink() {
  const values = new URLSearchParams(location.hash.slice(1));
  return { q: values.get("q"), run: values.get("run"), dag: values.get("dag"), unfold: values.getAll("u") };
}

// A new request is a step that the browser's back button undoes (`push`); everything else only changes the address.
export function writeLink({ q, run, dag, unfold = [] }, push = false) {
  const values = new URLSearchParams();
  if (dag) values.set("dag", dag);
  else if (q) values.set("q", q);
  if (run && !dag) values.set("run", run);
  for (const key of unfold) values.append("u", key);
  const hash = `#${values}`;
  if (hash === location.hash) return;
  history[push ? "pushState" : "replaceState"](null, "", hash === "#" ? location.pathname : hash);
}

async function through(stream, data) {
  return new Uint8Array(await new Response(new Blob([data]).stream().pipeThrough(stream)).arrayBuffer());
}

export async function pack(text) {
  const packed = await through(new CompressionStream("deflate-raw"), text);
  let binary = "";
  for (const byte of packed) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export async function unpack(packed) {
  const binary = atob(packed.replaceAll("-", "+").replaceAll("_", "/"));
  const data = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  return new TextDecoder().decode(await through(new DecompressionStream("deflate-raw"), data));
}
