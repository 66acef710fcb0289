// The page: what is asked when, and who hears of which event.

import { useToken } from "./api.js";
import * as charts from "./charts.js";
import * as contacts from "./contacts.js";
import { find, notice, tell, write } from "./dom.js";
import { follow } from "./events.js";
import * as get from "./get.js";
import * as health from "./health.js";
import * as put from "./put.js";
import * as ring from "./ring.js";
import * as stored from "./stored.js";
import * as walk from "./walk.js";

/** How often the node is asked for what makes no events, in milliseconds. */
const OFTEN = 10_000;
const SELDOM = 60_000;

let items;

function happened(name, data) {
  contacts.happened(name, data);
  walk.happened(name, data);
  if (name === "hello") greet(data);
  if (name === "hello" || name === "stats") numbers(data);
  if (name === "missed") notice(`The node was faster than this page: ${data.events} events are not shown.`);
}

function greet({ id, address, version, value_max: valueMax }) {
  write(find("who"), `Node ${id.slice(0, 8)}… at ${address}, version ${version}`);
  find("who").title = id;
  document.title = `kad ${id.slice(0, 8)}`;
  find("token").hidden = true;
  charts.restart();
  put.limit(valueMax);
  items = undefined;
  health.load();
  health.audit();
}

function numbers(status) {
  charts.take(status);
  health.take(status);
  if (status.items !== items) stored.load();
  items = status.items;
}

function streamIs(state, text) {
  find("stream").dataset.state = state;
  write(find("stream"), text);
  if (state === "broken") health.load();
}

function askForToken({ detail }) {
  const isNew = find("token").hidden;
  find("token").hidden = false;
  tell(find("token-said"), detail ?? "", false);
  if (isNew) find("token-text").focus();
}

function every(milliseconds, ...duties) {
  setInterval(() => {
    if (document.hidden || find("stream").dataset.state !== "live") return;
    for (const duty of duties) duty();
  }, milliseconds);
}

window.addEventListener("unauthorised", askForToken);
find("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(find("token-text").value.trim());
  find("token-text").value = "";
});
for (const part of [ring, charts, health, contacts, walk, get, stored]) part.prepare();
put.prepare(() => {
  stored.load();
  health.audit();
});
every(OFTEN, health.load, contacts.load);
every(SELDOM, health.audit);
follow("events", happened, streamIs);
