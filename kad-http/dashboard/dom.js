// Elements. Text only ever goes in as text: what a node shows was written by strangers.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

/** An element with these attributes and children; texts become text nodes. */
export function make(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for a drawing. */
export function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  set(element, attributes);
  element.append(...children);
  return element;
}

/** Sets attributes that are not as they should be. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
}

/** Sets a text that is not as it should be: what does not change is not announced again. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Writes what became of something: `isGood` is `undefined` while that is open. */
export function tell(element, text, isGood) {
  element.dataset.state = isGood === undefined ? "unknown" : isGood ? "yes" : "no";
  write(element, text);
}

/**
 * Makes the children of `parent` one for each item, in order. Whoever was there stays, and so does the focus.
 */
export function match(parent, items, keyOf, create, update = () => {}) {
  const before = new Map([...parent.children].map((child) => [child.dataset.item, child]));
  const after = items.map((item) => {
    const key = String(keyOf(item));
    const child = before.get(key) ?? create(item);
    before.delete(key);
    child.dataset.item = key;
    update(child, item);
    return child;
  });
  for (const gone of before.values()) gone.remove();
  after.forEach((child, at) => {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
}

let silence;

/** Says something that soon goes away. */
export function notice(text) {
  write(find("notice"), text);
  clearTimeout(silence);
  silence = setTimeout(() => write(find("notice"), ""), 6000);
}

/** A long number that can be copied: its beginning, as a button. */
export function copyable(hex, what) {
  const button = make("button", { type: "button", class: "hex", title: hex, "aria-label": `Copy ${what} ${hex}` }, `${hex.slice(0, 8)}…`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(hex);
      notice(`Copied: ${what} ${hex}`);
    } catch {
      // Only pages of this host or over TLS may write there.
      notice(`The browser does not let this page copy. ${what}: ${hex}`);
    }
  });
  return button;
}
