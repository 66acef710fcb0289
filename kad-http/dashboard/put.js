// The form that stores a value.

import { ask } from "./api.js";
import { copyable, find, make, tell } from "./dom.js";
import { several, size } from "./text.js";
import { expect } from "./walk.js";

let valueMax = Infinity;

/** The node takes values of so many bytes. */
export function limit(bytes) {
  valueMax = bytes;
  measure();
}

/** Where a form says that a value is: a path, or why it is none. */
export function pathOf(where, at) {
  if (where === "content") return { path: "." };
  if (where === "key") {
    return /^[0-9a-f]{64}$/i.test(at) ? { path: at.toLowerCase() } : { wrong: "A key has 64 hexadecimal digits." };
  }
  if (at === "") return { wrong: "The name is missing." };
  // Browsers take these out of every path, escaped or not.
  if (at === "." || at === "..") return { wrong: `No browser can ask for the name “${at}”.` };
  return { path: `name/${encodeURIComponent(at)}` };
}

/** Marks the field that a message is about. */
export function complain(said, field, text) {
  tell(said, text, false);
  field.setAttribute("aria-invalid", "true");
  field.focus();
}

async function bytes() {
  const [file] = find("put-file").files;
  return file ? new Uint8Array(await file.arrayBuffer()) : new TextEncoder().encode(find("put-value").value);
}

function measure() {
  const [file] = find("put-file").files;
  const length = file ? file.size : new TextEncoder().encode(find("put-value").value).length;
  find("put-size").textContent = `${several(length, "byte")}${Number.isFinite(valueMax) ? ` of ${size(valueMax)}` : ""}`;
  find("put-value").disabled = Boolean(file);
  return length;
}

function wrong(where) {
  const said = find("put-said");
  const length = measure();
  const value = find("put-file").files.length > 0 ? find("put-file") : find("put-value");
  for (const field of [find("put-value"), find("put-file"), find("put-at"), find("put-ttl")]) field.removeAttribute("aria-invalid");
  if (length === 0) return complain(said, value, "The value is empty: write something, or choose a file.") ?? true;
  if (length > valueMax) return complain(said, value, `The value has ${length} bytes; this node takes up to ${valueMax}.`) ?? true;
  if (where.wrong) return complain(said, find("put-at"), where.wrong) ?? true;
  if (!find("put-ttl").checkValidity()) return complain(said, find("put-ttl"), "The lifetime is a whole number, 1 or more.") ?? true;
  return false;
}

async function put(changed) {
  const kind = document.querySelector("[name=put-where]:checked").value;
  const where = pathOf(kind, find("put-at").value.trim());
  if (wrong(where)) return;
  const said = find("put-said");
  tell(said, "Storing");
  const query = new URLSearchParams({ ttl: `${find("put-ttl").value}${find("put-unit").value}` });
  if (find("put-copies").value) query.set("copies", find("put-copies").value);
  // The key of content and of names is known when the answer is there; until then, whatever begins first.
  expect(kind === "key" ? where.path : "");
  try {
    const headers = { "Content-Type": "application/octet-stream", Prefer: "return=minimal" };
    const response = await ask(`${where.path}?${query}`, { method: kind === "content" ? "POST" : "PUT", headers, body: await bytes() });
    report(said, response.headers);
    changed();
  } catch (problem) {
    tell(said, problem.message, false);
  }
}

function report(said, headers) {
  const key = headers.get("Location").slice(1);
  const [copies, refused, silent] = ["Kad-Copies", "Kad-Refused", "Kad-Silent"].map((name) => headers.get(name));
  tell(said, "", true);
  said.append(`Stored on ${several(Number(copies), "node")}, this one included; ${refused} refused, ${silent} did not answer. Key `,
    make("code", { id: "put-key" }, key), " ", copyable(key, "key"));
  find("get-at").value = key;
  document.querySelector("[name=get-where][value=key]").checked = true;
}

/** Makes the form work; `changed` is called after each value. */
export function prepare(changed) {
  find("put-value").addEventListener("input", measure);
  find("put-file").addEventListener("change", measure);
  for (const choice of document.querySelectorAll("[name=put-where]")) {
    choice.addEventListener("change", () => (find("put-at").disabled = choice.value === "content"));
  }
  find("put-form").addEventListener("submit", (event) => {
    event.preventDefault();
    put(changed);
  });
}
