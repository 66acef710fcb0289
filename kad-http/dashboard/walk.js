// Operations of this node, and the one that is shown, step by step.

import { ask } from "./api.js";
import { copyable, find, make, match, tell, write } from "./dom.js";
import { showWalk } from "./ring.js";
import { several, trip } from "./text.js";

/** Operations that can be chosen. */
const REMEMBERED = 20;
/** An operation that was just shown stays for so long, in milliseconds, whatever begins meanwhile. */
const LINGER = 2000;
/** Milliseconds between two steps, at the most and at the least; all of them take about `WHOLE`. */
const [SLOWEST, FASTEST, WHOLE] = [90, 15, 2000];

const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
/** By number, oldest first. */
const operations = new Map();
let self = "";
let shown;
/** Where the operation goes that this page has asked for, until it begins. */
let awaited;
let shownSince = 0;
let timer;

/** Takes an event. */
export function happened(name, data) {
  if (name === "hello") {
    self = data.id;
    operations.clear();
  }
  if (name === "began") begin(data);
  const operation = operations.get(data.operation);
  if (!operation) return;
  if (name === "step") operation.history.push(data);
  if (name === "ended") end(operation, data);
  if (name === "cancelled") operation.end = "given up";
  if (operation === shown) wake();
}

/** The next operation to this key is this page's own, and is to be shown. */
export function expect(key) {
  awaited = key;
  find("operation").value = "";
}

function begin({ operation: number, purpose, key }) {
  const operation = { number, purpose, key, history: [], seen: 0, steps: new Map(), end: undefined };
  operations.set(number, operation);
  for (const old of operations.keys()) {
    if (operations.size <= REMEMBERED) break;
    if (operations.get(old) !== shown) operations.delete(old);
  }
  list();
  const isOwn = awaited === key || (awaited === "" && purpose !== "cache" && purpose !== "join");
  if (isOwn || (find("operation").value === "" && isDone())) {
    if (isOwn) awaited = undefined;
    show(operation);
  }
}

// The last steps come with the end only, and so do those that the stream left out because this page was too slow.
function end(operation, { lookup, stored }) {
  const states = new Map(operation.history.map(({ address, state }) => [address, state]));
  const isNew = ({ address, state }) => state !== "not asked" && states.get(address) !== state;
  operation.history.push(...lookup.trace.filter(isNew).map((step) => ({ ...step, after: undefined })));
  const copies = stored.length > 0 ? `; ${stored[0].elsewhere} other nodes hold it` : "";
  const late = lookup.timed_out ? ", out of time" : "";
  operation.end = `ended after ${trip(lookup.milliseconds)}${late}: ${several(lookup.requests, "request")}, ${several(lookup.hops, "hop")}${copies}`;
}

const isDone = () => !shown || (shown.end && shown.seen === shown.history.length && performance.now() - shownSince > LINGER);

function show(operation) {
  shown = operation;
  operation.seen = 0;
  operation.steps.clear();
  shownSince = performance.now();
  render();
  wake();
}

function wake() {
  timer ??= setTimeout(advance, 0);
}

// One step further, or with reduced motion all of them.
function advance() {
  timer = undefined;
  if (!shown) return;
  const { history, steps } = shown;
  do {
    const step = history[shown.seen];
    if (!step) break;
    shown.seen += 1;
    steps.set(step.address, { ...steps.get(step.address), ...step });
  } while (calm.matches);
  shownSince = performance.now();
  render();
  if (shown.seen < history.length) timer = setTimeout(advance, Math.max(FASTEST, Math.min(SLOWEST, WHOLE / history.length)));
}

function render() {
  const steps = [...shown.steps.values()].sort((one, other) => (one.order ?? Infinity) - (other.order ?? Infinity));
  match(find("steps"), steps, (step) => step.address, row, (item, step) => {
    item.className = step.state;
    write(item.lastChild, ` ${words(step)}`);
  });
  showWalk(self, shown.key, steps);
  const count = (state) => steps.filter((step) => step.state === state).length;
  const isOver = shown.end && shown.seen === shown.history.length;
  const result = isOver ? `${shown.end}; ${count("answered")} answered, ${count("silent")} silent` : "under way";
  write(find("walk-said"), `${shown.purpose} of ${shown.key.slice(0, 8)}… ${result}`);
}

const row = (step) => make("li", {}, copyable(step.id, "id"), make("span"));

function words({ address, state, hops, milliseconds, after }) {
  const time = milliseconds === undefined ? "" : ` in ${trip(milliseconds)}`;
  const asked = state === "waiting" ? "asked" : state;
  const at = after === undefined ? "" : `, at ${trip(after)}`;
  return `${address}, depth ${hops}: ${asked}${time}${at}`;
}

function list() {
  const select = find("operation");
  // Not under the hand of whoever is choosing.
  if (document.activeElement === select) return;
  match(select, [{ number: "" }, ...[...operations.values()].reverse()], ({ number }) => number,
    ({ number, purpose, key }) => make("option", { value: number }, key ? `${purpose} of ${key.slice(0, 8)}…` : "the newest"));
}

async function walk(key) {
  const said = find("walk-said");
  if (!/^[0-9a-f]{64}$/i.test(key)) {
    find("walk-key").setAttribute("aria-invalid", "true");
    tell(said, "A key has 64 hexadecimal digits.", false);
    return find("walk-key").focus();
  }
  find("walk-key").removeAttribute("aria-invalid");
  find("walk-key").value = key;
  expect(key.toLowerCase());
  try {
    await ask(`lookup/${key}`);
  } catch (problem) {
    tell(said, problem.message, false);
  }
}

/** Makes the controls work. */
export function prepare() {
  find("walk-form").addEventListener("submit", (event) => {
    event.preventDefault();
    walk(find("walk-key").value.trim());
  });
  find("walk-random").addEventListener("click", () => {
    const bytes = crypto.getRandomValues(new Uint8Array(32));
    walk([...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  });
  find("operation").addEventListener("change", ({ target }) => {
    const chosen = operations.get(Number(target.value)) ?? [...operations.values()].at(-1);
    if (chosen) show(chosen);
  });
  find("operation").addEventListener("blur", list);
}
