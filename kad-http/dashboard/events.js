// The stream of events. Read with fetch, because an EventSource cannot show a token.

import { ask } from "./api.js";

/** The node's numbers come every two seconds: after so many milliseconds of silence the connection is dead. */
const SILENCE = 10_000;
/** Pauses before the next attempt, in milliseconds. */
const PAUSES = [500, 1000, 2000, 4000, 8000];

/**
 * Follows the events for as long as the page is there. `happened(name, data)` gets each of them, `changed(state, text)` hears how
 * the stream is: `live`, `broken`, `paused`.
 */
export async function follow(path, happened, changed) {
  let failures = 0;
  for (;;) {
    if (document.hidden) {
      changed("paused", "Paused while nobody sees this page");
      await shown();
    }
    const attempt = new AbortController();
    const hide = () => document.hidden && attempt.abort();
    document.addEventListener("visibilitychange", hide);
    try {
      const response = await ask(path, { signal: attempt.signal });
      for await (const { name, data } of read(response.body, attempt)) {
        if (failures > 0 || name === "hello") changed("live", "Live");
        failures = 0;
        happened(name, data);
      }
      throw new Error("the node ended it");
    } catch (error) {
      if (document.hidden) continue;
      const why = attempt.signal.aborted ? "nothing came for ten seconds" : error.message;
      changed("broken", `Event stream broken: ${why}. Trying again; what is shown may be old.`);
      await pause(error.status === 401 ? undefined : PAUSES[Math.min(failures, PAUSES.length - 1)]);
      failures += 1;
    } finally {
      document.removeEventListener("visibilitychange", hide);
    }
  }
}

async function* read(body, attempt) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const watchdog = setTimeout(() => attempt.abort(), SILENCE);
    const { value, done } = await reader.read().finally(() => clearTimeout(watchdog));
    if (done) return;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const event = parse(text.slice(0, end));
      text = text.slice(end + 2);
      if (event.name) yield event;
    }
  }
}

// As much of the format (WHATWG HTML, section 9.2) as the node writes: lines end with a line feed, data is one line of JSON.
function parse(block) {
  const event = { name: "", data: {} };
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event.name = line.slice(7);
    if (line.startsWith("data: ")) event.data = JSON.parse(line.slice(6));
  }
  return event;
}

const shown = () => new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));

// Until so many milliseconds have passed, or there is a new token.
function pause(milliseconds) {
  return new Promise((done) => {
    if (milliseconds !== undefined) setTimeout(done, milliseconds);
    window.addEventListener("token", done, { once: true });
  });
}
