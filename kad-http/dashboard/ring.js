// The key space as a circle: zero at the top, keys grow clockwise.

import { draw, find, make, match, set, write } from "./dom.js";
import { several, trip } from "./text.js";

const RADIUS = 100;
const BUCKET_RADIUS = 90;
/** Deeper buckets are narrower than a line. */
const DEEPEST = 12;
/** Upper ends of the classes of round-trip times, in milliseconds. */
const CLASSES = [1, 10, 50, 200, Infinity];
const CLASS_NAMES = ["under 1 ms", "1 to 10 ms", "10 to 50 ms", "50 to 200 ms", "200 ms or more", "unknown"];

const layers = {};

/** Draws what never changes. */
export function prepare() {
  const ring = find("ring");
  ring.append(draw("circle", { class: "space", r: RADIUS }));
  ["0…", "4…", "8…", "c…"].forEach((label, at) => {
    const [x, y] = place(at / 4, RADIUS + 12);
    ring.append(draw("text", { x, y }, label));
  });
  for (const name of ["buckets", "paths", "contacts", "self", "walk"]) {
    layers[name] = draw("g", { id: `ring-${name}` });
    ring.append(layers[name]);
  }
  find("rtt").append(...CLASS_NAMES.map((name, at) =>
    make("li", { class: classNames[at] }, make("i"), make("span", {}, name), make("span", {}, "0"), make("b"))));
}

const classNames = ["rtt-0", "rtt-1", "rtt-2", "rtt-3", "rtt-4", "rtt-unknown"];

const classOf = (milliseconds) =>
  milliseconds === undefined ? CLASSES.length : CLASSES.findIndex((end) => milliseconds < end);

/** Where on the circle a key is, from 0 to 1. The first 48 bits say it; a double holds them exactly. */
const fraction = (hex) => parseInt(hex.slice(0, 12), 16) / 2 ** 48;

function place(turn, radius = RADIUS) {
  const angle = turn * 2 * Math.PI;
  return [(radius * Math.sin(angle)).toFixed(2), (-radius * Math.cos(angle)).toFixed(2)];
}

/** Shows this node, its contacts and its buckets. */
export function showContacts(self, peers) {
  const [x, y] = place(fraction(self));
  match(layers.self, [self], (id) => id, () => draw("path", { class: "self", d: "M-5 0L0-5L5 0L0 5Z" }, draw("title", {}, `This node: ${self}`)),
    (mark) => set(mark, { transform: `translate(${x} ${y})` }));
  match(layers.contacts, peers, (peer) => peer.id, dot, (mark, peer) => {
    set(mark, { class: `contact ${classNames[classOf(peer.milliseconds)]}` });
    write(mark.firstChild, `${peer.id} at ${peer.address}, bucket ${peer.bucket}, ${trip(peer.milliseconds)}`);
  });
  showBuckets(self, peers);
  showTimes(peers);
}

function dot(peer) {
  const [cx, cy] = place(fraction(peer.id));
  return draw("circle", { r: 3.2, cx, cy }, draw("title"));
}

// Bucket b holds who shares the first b bits of this node's id and differs in the next: an arc. The last one holds all nearer ones too.
function showBuckets(self, peers) {
  const counts = [];
  for (const { bucket } of peers) counts[bucket] = (counts[bucket] ?? 0) + 1;
  const last = counts.length - 1;
  const arcs = [...counts.slice(0, DEEPEST)].map((count = 0, bucket) => ({ bucket, count, ...arcOf(self, bucket, bucket === last) }));
  match(layers.buckets, arcs, (arc) => `${arc.bucket} ${arc.bucket === last}`,
    (arc) => draw("g", {}, draw("path", { d: curve(arc) }, draw("title")), ...labelOf(arc)),
    (group, { bucket, count }) => {
      set(group.firstChild, { class: count > 0 ? "bucket" : "bucket empty" });
      write(group.firstChild.firstChild, `Bucket ${bucket}: ${several(count, "contact")}`);
      if (group.children[1]) write(group.children[1], String(count));
    });
  const inWords = counts.length === 0 ? "none" : [...counts].map((count = 0, bucket) => `${count} in bucket ${bucket}`).join(", ");
  write(find("ring-text"), `The key space as a circle, this node (diamond) and ${several(peers.length, "contact")}: ${inWords}. Arcs are buckets.`);
}

function arcOf(self, bucket, isLast) {
  const bits = parseInt(self.slice(0, 12), 16);
  if (isLast) return { start: Math.floor(bits / 2 ** (48 - bucket)) / 2 ** bucket, length: 2 ** -bucket };
  const prefix = Math.floor(bits / 2 ** (47 - bucket));
  const other = prefix % 2 === 0 ? prefix + 1 : prefix - 1;
  return { start: other / 2 ** (bucket + 1), length: 2 ** -(bucket + 1) };
}

function curve({ start, length }) {
  // An arc from a point to itself is nothing: two halves.
  const gap = Math.min(0.003, length / 8);
  const [from, middle, to] = [start + gap, start + length / 2, start + length - gap].map((turn) => place(turn, BUCKET_RADIUS).join(" "));
  return `M${from}A${BUCKET_RADIUS} ${BUCKET_RADIUS} 0 0 1 ${middle}A${BUCKET_RADIUS} ${BUCKET_RADIUS} 0 0 1 ${to}`;
}

function labelOf({ start, length }) {
  if (length < 1 / 32) return [];
  const [x, y] = place(start + length / 2, BUCKET_RADIUS - 10);
  return [draw("text", { x, y })];
}

function showTimes(peers) {
  const counts = CLASS_NAMES.map(() => 0);
  for (const { milliseconds } of peers) counts[classOf(milliseconds)] += 1;
  [...find("rtt").children].forEach((row, at) => {
    write(row.children[2], String(counts[at]));
    row.children[3].style.setProperty("--share", counts[at] / Math.max(1, peers.length));
  });
}

/** Shows an operation: its target, and the nodes that it has asked so far. */
export function showWalk(self, key, steps) {
  const from = place(fraction(self));
  match(layers.walk, [{ target: key }, ...steps], (item) => (item.target ? `target ${key}` : item.address),
    (item) => (item.target ? target(key) : draw("circle", { r: 4.5, ...centre(item.id) }, draw("title"))),
    (mark, item) => {
      if (item.target) return;
      set(mark, { class: `step ${item.state} ${classNames[classOf(item.milliseconds)]}` });
      write(mark.firstChild, `${item.address}: ${item.state}`);
    });
  match(layers.paths, steps, (step) => step.address, (step) => draw("path", { d: chord(from, place(fraction(step.id))) }),
    (path, step) => set(path, { class: `path ${step.state}` }));
}

function target(key) {
  const [x, y] = place(fraction(key));
  return draw("path", { class: "target", d: "M-6-6L6 6M-6 6L6-6", transform: `translate(${x} ${y})` }, draw("title", {}, `Target: ${key}`));
}

function centre(id) {
  const [cx, cy] = place(fraction(id));
  return { cx, cy };
}

function chord([x, y], [toX, toY]) {
  const bend = (one, other) => ((Number(one) + Number(other)) * 0.3).toFixed(2);
  return `M${x} ${y}Q${bend(x, toX)} ${bend(y, toY)} ${toX} ${toY}`;
}
