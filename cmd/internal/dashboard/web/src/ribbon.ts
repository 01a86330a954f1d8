// The anomaly ribbon: a domain's last hour, a bar a minute. The bar's height says how improbable the least probable unit was, its colour and shape the state;
// what was not scored is hatched over the whole height, and what nothing is known of is empty.
import type { Ribbon } from "./api";
import { canvas, hatch, h, ink } from "./dom";
import { look, ribbonStates } from "./words";

const width = 180;
const height = 18;

export function ribbon(): HTMLCanvasElement {
  const c = h("canvas", { class: "ribbon", role: "img" });
  c.style.width = width + "px";
  c.style.height = height + "px";
  return c;
}

export function drawRibbon(c: HTMLCanvasElement, r: Ribbon): void {
  const g = canvas(c, width, height);
  if (!g) return;
  const step = width / Math.max(1, r.states.length);
  const seconds: Record<string, number> = {};
  for (let i = 0; i < r.states.length; i++) {
    const state = ribbonStates[r.states[i] ?? "."];
    const digit = r.unusual[i] ?? ".";
    const x = i * step;
    if (state === undefined) {
      g.fillStyle = ink("line");
      g.fillRect(x, height - 1, step, 1);
      continue;
    }
    seconds[state] = (seconds[state] ?? 0) + 1;
    const colour = ink(look(state).ink);
    if (state === "anomalous") {
      g.fillStyle = colour;
      g.fillRect(x, 0, step, height);
    } else if (digit !== ".") {
      g.fillStyle = colour;
      const tall = 2 + (Number(digit) / 9) * (height - 5);
      g.fillRect(x, height - tall, step - 0.75, tall);
      if (state === "suspect") g.fillRect(x, 0, step - 0.75, 2);
      else if (state !== "normal") hatch(g, x, 0, step, height, colour, 5);
    } else {
      hatch(g, x, 0, step, height, colour, 5);
    }
  }
  const told = Object.entries(seconds).map(([s, n]) => `${s} ${n} min`).join(", ");
  c.setAttribute("aria-label", told === "" ? "the last hour: nothing is known" : "the last hour: " + told);
  c.title = told;
}
