// The routing table.

import { askJson } from "./api.js";
import { copyable, find, make, match, notice, write } from "./dom.js";
import { showContacts } from "./ring.js";
import { span, trip } from "./text.js";

/** By id. */
let contacts = new Map();
let self = "";

/** Takes an event. */
export function happened(name, data) {
  if (name === "hello") {
    self = data.id;
    load();
  }
  if (name === "contact_added") contacts.set(data.id, data);
  if (name === "contact_lost") contacts.delete(data.id);
  if (name === "contact_added" || name === "contact_lost") render();
}

/** Asks the node again: round-trip times change without an event. */
export async function load() {
  try {
    contacts = new Map((await askJson("peers")).map((peer) => [peer.id, peer]));
    render();
  } catch (problem) {
    notice(problem.message);
  }
}

const order = {
  // As long digits, they sort as numbers.
  distance: (one, other) => (one.distance < other.distance ? -1 : 1),
  milliseconds: (one, other) => (one.milliseconds ?? Infinity) - (other.milliseconds ?? Infinity) || 0,
  idle_seconds: (one, other) => one.idle_seconds - other.idle_seconds,
  failures: (one, other) => other.failures - one.failures,
};

function render() {
  if (!self) return;
  const peers = [...contacts.values()].sort(order[find("contact-order").value]);
  match(find("peers"), peers, (peer) => peer.id, row, (line, peer) => {
    const texts = [peer.address, peer.bucket, trip(peer.milliseconds), `${span(peer.idle_seconds * 1000)} ago`, peer.failures];
    texts.forEach((text, at) => write(line.children[at + 1], String(text)));
  });
  showContacts(self, peers);
}

const row = (peer) => make("tr", {}, make("td", {}, copyable(peer.id, "id")), ...Array.from({ length: 5 }, () => make("td")));

/** Makes the controls work. */
export function prepare() {
  find("contact-order").addEventListener("change", render);
}
