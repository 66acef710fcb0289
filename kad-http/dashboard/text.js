// How things are written.

/** Bytes of a value that are shown at the most. */
const SHOWN = 4096;

/** A span of time with two units. */
export function span(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  const parts = [[Math.floor(seconds / 86400), "d"], [Math.floor(seconds / 3600) % 24, "h"], [Math.floor(seconds / 60) % 60, "min"], [seconds % 60, "s"]];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

/** A time that was measured. */
export function trip(milliseconds) {
  if (milliseconds === undefined) return "unknown";
  return `${milliseconds < 10 ? milliseconds.toFixed(2) : milliseconds.toFixed(0)} ms`;
}

/** An amount of bytes. */
export function size(bytes) {
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let power = 1;
  while (bytes >= 1024 ** (power + 1) && power < units.length) power += 1;
  return `${(bytes / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}

/** A count with its noun. */
export const several = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** The bytes of a value as text if they are that, else as hexadecimal digits; and which of them, if not all. */
export function readable(bytes) {
  const shown = bytes.subarray(0, SHOWN);
  const rest = bytes.length > shown.length ? `, the first ${shown.length} of ${bytes.length} bytes` : "";
  const text = decoded(bytes);
  if (text !== undefined) {
    return { text: text.slice(0, SHOWN), how: text.length > SHOWN ? `text, the first ${SHOWN} characters` : "text" };
  }
  const rows = [];
  for (let at = 0; at < shown.length; at += 16) {
    const digits = [...shown.subarray(at, at + 16)].map((byte) => byte.toString(16).padStart(2, "0"));
    rows.push(`${at.toString(16).padStart(4, "0")}  ${digits.join(" ")}`);
  }
  return { text: rows.join("\n"), how: `hexadecimal${rest}` };
}

function decoded(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    // Characters that do not show, or that turn the order of others around, are no text for a reader.
    return /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}
