// How things are called and shown. A state has a shape and a word beside its colour.
import { h } from "./dom";

export interface Look { sign: string; word: string; ink: string; rank: number; means: string }

export const looks: Record<string, Look> = {
  anomalous: { sign: "▲", word: "anomalous", ink: "anomalous", rank: 0, means: "unusual for several units" },
  suspect: { sign: "◆", word: "suspect", ink: "suspect", rank: 1, means: "some unusual units, not yet enough" },
  blind: { sign: "⊘", word: "blind", ink: "blind", rank: 2, means: "not seen at all" },
  unknown: { sign: "?", word: "unknown", ink: "unknown", rank: 3, means: "events were lost: may be normal or not" },
  starting: { sign: "◌", word: "starting", ink: "starting", rank: 4, means: "boots: neither learnt nor judged" },
  learning: { sign: "◔", word: "learning", ink: "learning", rank: 5, means: "gathers units for its first profile" },
  paused: { sign: "‖", word: "paused", ink: "paused", rank: 6, means: "its CPUs do not run" },
  disabled: { sign: "–", word: "disabled", ink: "disabled", rank: 7, means: "not to be watched" },
  normal: { sign: "●", word: "normal", ink: "normal", rank: 8, means: "as its profile knows it" },
};

export const look = (state: string): Look => looks[state] ?? { sign: "?", word: state, ink: "unknown", rank: 3, means: "" };

/** seen says whether a state speaks of what the domain does. */
export const seen = (state: string): boolean => state === "normal" || state === "suspect" || state === "anomalous";

export function badge(state: string): HTMLElement {
  const l = look(state);
  return h("span", { class: "state " + l.ink, title: l.means }, h("span", { class: "sign", "aria-hidden": "true" }, l.sign), l.word);
}

/** ribbonStates are the letters of a ribbon. */
export const ribbonStates: Record<string, string> = {
  n: "normal", l: "learning", t: "starting", x: "disabled", p: "paused", k: "unknown", b: "blind", s: "suspect", a: "anomalous",
};

const pad = (n: number): string => String(n).padStart(2, "0");
export const clock = (t: Date, seconds = true): string => pad(t.getHours()) + ":" + pad(t.getMinutes()) + (seconds ? ":" + pad(t.getSeconds()) : "");
export const day = (t: Date): string => t.getFullYear() + "-" + pad(t.getMonth() + 1) + "-" + pad(t.getDate());

/** moment is a time, with the day where that is not today. */
export function moment(t: Date, seconds = true): string {
  return day(t) === day(new Date()) ? clock(t, seconds) : day(t) + " " + clock(t, seconds);
}

/** lasting is a length of time in two figures. */
export function lasting(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + pad(s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + pad(Math.floor((s % 3600) / 60)) + " min";
  return Math.floor(s / 86400) + " d " + pad(Math.floor((s % 86400) / 3600)) + " h";
}

export const ago = (iso: string): string => lasting((Date.now() - Date.parse(iso)) / 1000);

/** count is a number of things: short, and of even length. */
export function count(n: number): string {
  const a = Math.abs(n);
  if (a >= 1e6) return (n / 1e6).toPrecision(3) + " M";
  if (a >= 1e4) return (n / 1e3).toPrecision(3) + " k";
  if (a >= 100 || Number.isInteger(n)) return n.toFixed(0);
  return n.toPrecision(2);
}

export const percent = (share: number, digits = 1): string => (100 * share).toFixed(digits) + " %";

/** tail is a p-value. */
export const tail = (p: number): string => (p >= 0.001 ? p.toFixed(3) : p > 0 ? p.toExponential(1) : "0");
