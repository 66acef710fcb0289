// The form that reads values.

import { ask, askJson } from "./api.js";
import { copyable, find, make, tell } from "./dom.js";
import { complain, pathOf } from "./put.js";
import { readable, several, size, span } from "./text.js";
import { expect } from "./walk.js";

/** The request that is under way: a newer one ends it. */
let current;

/** Reads what is at a path of values, and shows it. */
async function get(path, isAll) {
  current?.abort();
  current = new AbortController();
  const { signal } = current;
  const said = find("get-said");
  tell(said, "Looking");
  find("found").replaceChildren();
  expect(path.startsWith("name/") ? "" : path);
  try {
    if (isAll) await showAll(await askJson(`${path}?all`, { signal }), said);
    else {
      find("found").append(await one(path, signal));
      tell(said, "Found one value.", true);
    }
  } catch (problem) {
    if (!signal.aborted) tell(said, problem.message, false);
  }
}

function showAll({ values, incomplete }, said) {
  find("found").append(...values.map((value) => {
    const show = make("button", { type: "button" }, "Show");
    const item = make("li", {}, `${value.type}, ${size(value.bytes)}, expires in ${span(value.ttl_ms)}, digest `, copyable(value.digest, "digest"), " ", show);
    show.addEventListener("click", async () => {
      try {
        item.replaceWith(await one(value.location.slice(1)));
        tell(said, "Shown.", true);
      } catch (problem) {
        tell(said, problem.message, false);
      }
    });
    return item;
  }));
  tell(said, `Found ${several(values.length, "value")}${incomplete ? `; there may be more: ${incomplete}` : ""}.`, true);
}

/** A value as an element of the list. Its bytes are a stranger's: they go in as text. */
async function one(path, signal) {
  const response = await ask(path, { signal });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const { text, how } = readable(bytes);
  const [origin, age, ttl] = ["Origin", "Age", "Kad-TTL"].map((name) => response.headers.get(name));
  return make("li", {},
    make("pre", { dir: "auto", tabindex: "0", "aria-label": `Value as ${how}` }, text),
    make("p", { class: "small" }, `${size(bytes.length)}, ${how}; ${span(age * 1000)} old, expires in ${span(ttl * 1000)}; from `,
      copyable(origin, "id"), " ", make("a", { href: path, download: "value" }, "Download")));
}

/** Reads the value of this key, and brings the reader there. */
export function show(key, digest) {
  find("get-at").value = key;
  document.querySelector("[name=get-where][value=key]").checked = true;
  find("get-at").focus();
  return get(`${key}?digest=${digest}`, false);
}

/** Makes the form work. */
export function prepare() {
  find("get-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = find("get-at");
    const { path, wrong } = pathOf(document.querySelector("[name=get-where]:checked").value, field.value.trim());
    field.removeAttribute("aria-invalid");
    if (wrong) return complain(find("get-said"), field, wrong);
    get(path, find("get-all").checked);
  });
}
