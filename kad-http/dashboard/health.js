// Whether the node is up, reaches its network, and has copies of its values elsewhere; and its numbers.

import { askJson } from "./api.js";
import { find, tell, write } from "./dom.js";
import { several, span } from "./text.js";

/** Asks a path, and writes what it says. */
async function check(id, path, told) {
  try {
    const report = await askJson(path);
    const [isGood, text] = told(report);
    tell(find(id), text, isGood);
  } catch (problem) {
    tell(find(id), problem.message, problem.status === 401 ? undefined : false);
  }
}

/** Asks whether the node is up and reaches others. */
export const load = () => Promise.all([
  check("is-up", "health", ({ status, version }) => [status === "up", `${status}, version ${version}`]),
  check("is-ready", "ready", ({ ready, reason }) => [ready, `${ready ? "yes" : "no"}: ${reason}`]),
]);

/** Looks for the copies of the node's own values: that asks other nodes. */
export const audit = () => check("is-durable", "durable", (report) => [report.durable, inWords(report)]);

function inWords({ durable, values, audited, at_risk: risks, failed, error }) {
  if (failed > 0) return `${several(failed, "value")} could not be looked for: ${error}`;
  if (values === 0) return "yes: it publishes no values";
  if (!durable) return `no: ${several(risks.length, "value")} of ${audited} without a copy elsewhere, first ${risks[0]?.key.slice(0, 8) ?? "unknown"}…`;
  return `yes: ${audited} of ${several(values, "value")} looked for, all with a copy elsewhere`;
}

/** Takes the node's numbers. */
export function take({ contacts, items, uptime_seconds: uptime }) {
  write(find("contact-count"), String(contacts));
  write(find("value-count"), String(items));
  write(find("uptime"), span(uptime * 1000));
}

/** Makes the button work. */
export function prepare() {
  find("audit").addEventListener("click", async ({ target }) => {
    target.disabled = true;
    tell(find("is-durable"), "looking");
    await audit();
    target.disabled = false;
  });
}
