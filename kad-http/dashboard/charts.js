// Rates of the last two minutes, from the numbers that the stream brings.

import { draw, find, make, set, write } from "./dom.js";
import { size } from "./text.js";

/** Numbers in a chart, one every two seconds. */
const LENGTH = 60;
const [WIDTH, HEIGHT] = [120, 40];

const count = (rate) => rate.toFixed(rate < 10 ? 1 : 0);
const CHARTS = [
  { title: "Datagrams a second", write: count, lines: [["in", ["datagrams_in"]], ["out", ["datagrams_out"]]] },
  { title: "Bytes a second", write: size, lines: [["in", ["socket_bytes_in"]], ["out", ["socket_bytes_out"]]] },
  { title: "Operations a second", write: count, lines: [["of its owner", ["operations_started"]], ["of its upkeep", ["upkeep_operations"]]] },
];

let last;

/** Makes the charts, empty. */
export function prepare() {
  for (const chart of CHARTS) {
    chart.rates = chart.lines.map(() => []);
    chart.plots = ["first", "second"].map((name) => draw("polyline", { class: name }));
    chart.figure = draw("svg", { role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-label": `${chart.title}: no numbers yet` }, ...chart.plots);
    chart.caption = make("figcaption", {}, `${chart.title}: no numbers yet`);
    find("charts").append(make("figure", {}, chart.caption, chart.figure));
  }
}

/** Another connection may lead to another process, whose counters begin at zero. */
export function restart() {
  last = undefined;
}

/** Takes the node's numbers. */
export function take({ uptime_seconds: at, counters }) {
  const before = last;
  last = { at, counters };
  if (!before || at <= before.at) return;
  const rate = (names) => names.reduce((sum, name) => sum + counters[name] - before.counters[name], 0) / (at - before.at);
  for (const chart of CHARTS) {
    chart.lines.forEach(([, names], at) => {
      chart.rates[at].push(Math.max(0, rate(names)));
      if (chart.rates[at].length > LENGTH) chart.rates[at].shift();
    });
    show(chart);
  }
}

function show({ title, lines, rates, plots, figure, caption, write: written }) {
  const top = Math.max(1, ...rates.flat());
  rates.forEach((rate, at) => {
    const offset = LENGTH - rate.length;
    const points = rate.map((value, x) => `${(((x + offset) * WIDTH) / (LENGTH - 1)).toFixed(1)},${(HEIGHT - 2 - (value / top) * (HEIGHT - 4)).toFixed(1)}`);
    set(plots[at], { points: points.join(" ") });
  });
  const now = lines.map(([name], at) => `${name} ${written(rates[at].at(-1))}`).join(", ");
  write(caption, `${title}: ${now} (${written(top)} at the top)`);
  set(figure, { "aria-label": `${title} in the last two minutes; now ${now}` });
}
