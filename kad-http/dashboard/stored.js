// The values that the node holds, in pages, and when they expire.

import { ask, askJson } from "./api.js";
import { copyable, find, make, match, tell, write } from "./dom.js";
import { show } from "./get.js";
import { size, span } from "./text.js";

/** Values on a page. */
const PAGE = 10;

/** What to ask for this page and those before it: where each begins. */
let places = [""];
let values = [];
let next;
let loading;

/** Loads the page that is shown again. Whoever asks meanwhile gets the same answer. */
export function load() {
  loading ??= fetchPage().finally(() => (loading = undefined));
  return loading;
}

async function fetchPage() {
  const query = new URLSearchParams({ limit: PAGE });
  if (places.at(-1)) query.set("after", places.at(-1));
  if (find("own-only").checked) query.set("own", "true");
  try {
    const page = await askJson(`values?${query}`);
    const now = performance.now();
    values = page.values.map((value) => ({ ...value, expires: now + value.ttl_ms }));
    next = page.next;
    // The last value of a page may have gone.
    if (values.length === 0 && places.length > 1) {
      places.pop();
      return fetchPage();
    }
    render();
  } catch (problem) {
    tell(find("stored-said"), problem.message, false);
  }
}

function render() {
  match(find("held"), values, (value) => `${value.key}-${value.digest}-${value.own}`, row, tick);
  write(find("page-number"), `Page ${places.length}${values.length === 0 ? ": no values" : ""}`);
  find("page-before").disabled = places.length === 1;
  find("page-after").disabled = !next;
}

function row(value) {
  return make("tr", {}, make("td", {}, copyable(value.key, "key")), make("td", {}, value.type), make("td", {}, size(value.bytes)),
    make("td", { class: "expires" }), make("td", {}, value.own ? "yes" : "no"), actionsOf(value));
}

function actionsOf(value) {
  // The proof that something was deleted: not to be read, and not to be taken back.
  if (value.type === "tombstone") return make("td");
  const showIt = make("button", { type: "button", "aria-label": `Show the value of ${value.key}` }, "Show");
  showIt.addEventListener("click", () => show(value.key, value.digest));
  const actions = make("td", {}, showIt);
  if (value.own) {
    const remove = make("button", { type: "button", "aria-label": `Delete the value of ${value.key}` }, "Delete");
    remove.addEventListener("click", () => confirm(value));
    actions.append(" ", remove);
  }
  return actions;
}

function tick(line, value) {
  const left = value.expires - performance.now();
  write(line.querySelector(".expires"), left > 0 ? span(left) : "expired");
  return left;
}

function confirm(value) {
  const dialog = find("delete");
  write(find("delete-key"), value.key);
  dialog.returnValue = "";
  dialog.onclose = () => dialog.returnValue === "delete" && remove(value);
  dialog.showModal();
}

async function remove(value) {
  try {
    await ask(`${value.key}?digest=${value.digest}`, { method: "DELETE" });
    tell(find("stored-said"), `Deleted, or at least published no longer: ${value.key}`, true);
  } catch (problem) {
    tell(find("stored-said"), problem.message, false);
  }
  await load();
  // The button that had the focus may have gone with its row.
  if (document.activeElement === document.body) find("stored-title").focus();
}

/** Makes the controls work, and the lives run out. */
export function prepare() {
  find("page-after").addEventListener("click", () => {
    if (next) places.push(next);
    load();
  });
  find("page-before").addEventListener("click", () => {
    if (places.length > 1) places.pop();
    load();
  });
  find("own-only").addEventListener("change", () => {
    places = [""];
    load();
  });
  setInterval(() => {
    const lines = [...find("held").children];
    const ended = lines.map((line, at) => tick(line, values[at])).some((left) => left < -1000);
    if (ended) load();
  }, 1000);
}
