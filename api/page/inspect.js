// What is known of a node, in the panel beside the picture, in the tip under the pointer, and for screen readers.

import { AXIS_NAMES, bytes, flops, h, ms, num } from "/page/dom.js";

function shape(node) {
  if (node.rows === null || node.width === null) return null;
  return `${num(Math.round(node.rows))} × ${num(Math.round(node.width))}`;
}

function group(node) {
  if (!node.axis) return null;
  return `${node.axis} (${AXIS_NAMES[node.axis] ?? node.axis}), groups of ${node.group_size}`;
}

// Rows of [label, value]; those with nothing to say are left out.
function rows(node, time) {
  const fields = Object.entries(node.fields).map(([name, value]) => [name.replaceAll("_", " "), String(value)]);
  const amount = (value, format) => (value ? format(value) : null);
  return [
    ["op", node.op], ...fields, ["axis", group(node)], ["inputs", node.inputs.join(", ") || null],
    ["yields", node.placement], ["shape on a rank", shape(node)], ["output", amount(node.output_bytes, bytes)],
    ["weights read", amount(node.weight_bytes, bytes)], ["activations moved", amount(node.moved_bytes, bytes)],
    ["message", amount(node.message_bytes, bytes)], ["work", amount(node.flops, flops)],
    ["time in a pass", time ? ms(time.ms) : null],
    ["of that, one layer", time && node.layers > 1 ? ms(time.ms / node.layers) : null],
    ["bound by", time?.kind ?? null],
  ].filter(([, value]) => value !== null && value !== undefined);
}

export function sayNode(node, column, time) {
  const layers = column.kind === "layers" ? (column.end - column.first > 1 ? `layers ${column.first} to ${column.end - 1}` : `layer ${column.first}`) : column.kind;
  const said = [`${node.id}, ${node.op.replaceAll("_", " ")}`, `${node.phase}, ${node.block}, ${layers}`];
  if (node.axis) said.push(group(node));
  if (node.placement) said.push(`yields ${node.placement}`);
  if (time) said.push(`${ms(time.ms)} in a pass`);
  return said.join("; ");
}

export function tip(node, time, findings) {
  const facts = [node.op !== node.id ? node.op : null, node.fields.weight, node.axis ? `over ${node.axis}, ${node.group_size} ranks` : null];
  const sizes = [shape(node), node.output_bytes ? bytes(node.output_bytes) : null, time ? ms(time.ms) : null];
  return [
    h("strong", null, node.id), h("span", { class: "soft" }, facts.filter(Boolean).join(" · ")),
    node.placement && h("span", null, node.placement), sizes.some(Boolean) && h("span", { class: "mono" }, sizes.filter(Boolean).join(" · ")),
    ...findings.map((finding) => h("span", { class: finding.severity }, `${finding.code} ${finding.message}`)),
  ];
}

export function inspector(node, column, time, findings, { toSource, close }) {
  const layers = column.kind === "layers" ? `layers ${column.first}–${column.end - 1}` : column.kind;
  return [
    h("button", { type: "button", class: "close", "aria-label": "Close details", onclick: close }, "×"),
    h("h3", null, node.id), h("p", { class: "where" }, `${node.phase} · ${node.block} · ${layers}`),
    h("dl", { class: "facts" }, rows(node, time).map(([label, value]) => [h("dt", null, label), h("dd", null, value)])),
    ...findings.map((finding) => h("p", { class: `note ${finding.severity}` }, h("b", null, finding.code), ` ${finding.message}. ${finding.hint}`)),
    h("button", { type: "button", class: "quiet", onclick: toSource }, "Show in the document"),
  ];
}
