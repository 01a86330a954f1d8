// The closer-look panel of a domain: what it can be looked at by, at what price, what runs, and what came of it.
import { Failure, get, now, part, post, type Action, type ActionOptions, type ActionOption, type Price } from "./api";
import type { Shared } from "./app";
import type { Step } from "./charts";
import { h, svg, text } from "./dom";
import { LookResult } from "./lookresult";
import { table } from "./explain";
import { clock, count, lasting, moment } from "./words";

const optionsEvery = 10_000;
const lengths: [number, string][] = [[10, "10 s"], [30, "30 s"], [60, "1 min"], [300, "5 min"], [600, "10 min"], [1800, "30 min"], [3600, "1 h"]];

const share = (v: number): string => (100 * v).toFixed(1);

/** priceWords say a price: "3.1 % (1.9 to 4.6 %)". */
export const priceWords = (p: Price): string => (p.known ? `${share(p.slowdown)} % (${share(p.low)} to ${share(p.high)} %)` : "not known");

const codes: Record<string, string> = {
  "time-up": "time was up", stopped: "stopped", "over-budget": "✕ dearer than its budget", "domain-gone": "the domain ended", "daemon-stopped": "the daemon ended", failed: "✕ failed",
};

const over = (a: Action): boolean => a.state === "refused" || a.state === "ended";

/** scale draws a price: a point with its interval, and a mark where the budget ends. Words beside it say the same. */
function scale(p: Price, budget: number | undefined, most: number): SVGElement | string {
  if (!p.known) return "";
  const width = 150;
  const x = (v: number): number => 2 + (Math.min(v, most) / most) * (width - 6);
  const parts: SVGElement[] = [
    svg("line", { x1: 0, x2: width, y1: 8, y2: 8, class: "rail" }),
    svg("rect", { x: x(p.low), width: Math.max(2, x(p.high) - x(p.low)), y: 4, height: 8, class: "interval" + (budget !== undefined && p.high > budget ? " over" : "") }),
    svg("line", { x1: x(p.slowdown), x2: x(p.slowdown), y1: 2, y2: 14, class: "point" }),
  ];
  if (budget !== undefined) parts.push(svg("line", { x1: x(budget), x2: x(budget), y1: 0, y2: 16, class: "budget" }));
  return svg("svg", { width, height: 16, class: "price", "aria-hidden": "true" }, ...parts);
}

interface Card { element: HTMLElement; left: HTMLElement; bar: HTMLProgressElement; facts: HTMLElement; action: Action }

export class LookPanel {
  readonly element: HTMLElement;
  private readonly limits = h("p", { class: "dim", id: "budget" });
  private readonly offers = h("div", { id: "offers" });
  private readonly quoted = h("p", { id: "quote", role: "status" });
  private readonly said = h("p", { class: "bad", role: "alert" });
  private readonly start = h("button", { type: "button", id: "start-look", class: "go", disabled: true }, "Start");
  private readonly length = h("select", { id: "look-length", "aria-label": "For how long" });
  private readonly toggle = h("button", { type: "button", id: "open-look", "aria-expanded": "false", "aria-controls": "look-body" }, "Choose what to look at …");
  private readonly body = h("div", { id: "look-body", hidden: true });
  private readonly runs = h("div", { id: "running" });
  private readonly past = h("div", { id: "past" });
  private readonly shown = h("div", { id: "look-result" });
  private readonly cards = new Map<string, Card>();
  private readonly chosen = new Set<string>();
  private readonly timer: number;
  private uuid = "";
  private options: ActionOptions | undefined;
  private built = "";
  private pastShown = "";
  private asked = 0; // when options were asked for
  private quotes = 0; // the newest question for a price
  private soon = 0;
  private starting = false;
  private closed = false;
  private result: LookResult | undefined;

  /** steps are those of the domain's units in a span, for the results. */
  constructor(private readonly shared: Shared, private readonly ref: string, open: boolean, private readonly steps: (from: number, to: number) => Step[]) {
    const changes = shared.session.changes;
    this.toggle.addEventListener("click", () => this.unfold(Boolean(this.body.hidden)));
    this.start.addEventListener("click", () => void this.begin());
    this.length.addEventListener("change", () => void this.quote());
    this.body.append(
      h("p", { class: "dim" }, "A closer look counts more of the domain than it is judged by, for a bounded time, and ends by itself. It slows the guest down by about its price, of which the interval of 90 % is told."),
      this.limits, this.offers,
      h("div", { class: "bar" }, h("label", null, "For ", this.length), this.start, changes ? "" : h("span", { class: "dim" }, "Nothing can be started at this address, which every user of the host can open: use a UNIX socket, dashboard.web_config, or virtsentry look.")),
      this.quoted, this.said);
    this.element = h("section", { id: "look", "aria-label": "Closer look" }, h("h2", null, "Closer look"), this.runs, h("div", { class: "bar" }, this.toggle), this.body, this.past, this.shown);
    this.timer = window.setInterval(() => this.tick(), 1000);
    if (open) this.unfold(true);
  }

  close(): void {
    this.closed = true;
    window.clearInterval(this.timer);
    window.clearTimeout(this.soon);
    this.result?.close();
  }

  repaint(): void { this.result?.repaint(); }

  /** know says which domain it is. */
  know(uuid: string): void {
    if (this.uuid === uuid) return;
    this.uuid = uuid;
    this.actions();
  }

  /** looks are the closer looks at the domain, the newest first. */
  looks(): Action[] {
    return [...this.shared.actions.values()].filter((a) => a.uuid === this.uuid).sort((a, b) => Date.parse(b.asked) - Date.parse(a.asked));
  }

  /** timed says that more is known of the domain's units. */
  timed(): void { this.result?.timed(); }

  /** actions takes in what has changed of closer looks. */
  actions(): void {
    if (this.uuid === "") return;
    const list = this.looks();
    this.showRunning(list.filter((a) => !over(a)));
    this.showPast(list.filter(over));
    const shown = list.find((a) => a.id === this.result?.id);
    if (shown) this.result?.update(shown);
    const running = list.filter((a) => !over(a)).map((a) => a.id).join();
    if (this.options && running !== this.ran) void this.load();
    this.ran = running;
  }

  private ran = "";

  private unfold(open: boolean): void {
    this.body.hidden = !open;
    this.toggle.setAttribute("aria-expanded", String(open));
    text(this.toggle, open ? "Hide what there is to look at" : "Choose what to look at …");
    if (open) void this.load();
  }

  private tick(): void {
    for (const c of this.cards.values()) this.countDown(c);
    if (!this.body.hidden && !document.hidden && Date.now() - this.asked > optionsEvery) void this.load();
    this.result?.tick();
  }

  private async load(): Promise<void> {
    this.asked = Date.now();
    if (!this.options) text(this.limits, "Asking the daemon what can be looked at. The first time, each source is tried for a moment …");
    try {
      const o = await get<ActionOptions>(`domains/${part(this.ref)}/actions`);
      if (this.closed) return;
      this.options = o;
      this.showLimits(o);
      this.offer(o);
      void this.quote();
    } catch (e) {
      if (!this.closed) text(this.limits, e instanceof Failure ? e.message : String(e));
    }
  }

  private showLimits(o: ActionOptions): void {
    const parts = [o.budget === undefined ? "No budget limits what closer looks may cost this domain." : `Budget: all closer looks at this domain together may cost ${share(o.budget)} % of its speed${o.unpriced_allowed ? ", but for those of which the price is not known" : ""}.`];
    if (o.guest_seconds_left !== undefined) parts.push(`${o.guest_seconds_left.toFixed(1)} s of its time are left within this hour.`);
    text(this.limits, parts.join(" "));
    if (this.length.options.length > 0) return;
    const some = lengths.filter(([s]) => s <= o.longest_seconds);
    if (!some.some(([s]) => s === o.usual_seconds)) some.push([o.usual_seconds, lasting(o.usual_seconds)]);
    if (!some.some(([s]) => s === o.longest_seconds)) some.push([o.longest_seconds, lasting(o.longest_seconds)]);
    some.sort((a, b) => a[0] - b[0]);
    this.length.append(...some.map(([s, words]) => h("option", { value: s, selected: s === o.usual_seconds }, words + (s === o.usual_seconds ? " (usual)" : ""))));
  }

  // offer shows what there is, anew only where it has changed: what has the focus keeps it.
  private offer(o: ActionOptions): void {
    const all = o.actions ?? [];
    const can = all.filter((a) => !a.why_not);
    for (const name of this.chosen) if (!can.some((a) => a.name === name && !a.running)) this.chosen.delete(name);
    const signature = JSON.stringify([all, o.budget]);
    if (signature === this.built) return;
    this.built = signature;
    const focus = document.activeElement instanceof HTMLInputElement && this.offers.contains(document.activeElement) ? document.activeElement.value : "";
    const most = Math.max(0.02, 1.35 * (o.budget ?? 0), ...can.filter((a) => a.price.known).map((a) => 1.05 * a.price.high));
    const box = (a: ActionOption): HTMLElement => {
      const input = h("input", { type: "checkbox", value: a.name, disabled: Boolean(a.running) });
      input.checked = this.chosen.has(a.name);
      input.addEventListener("change", () => {
        if (input.checked) this.chosen.add(a.name);
        else this.chosen.delete(a.name);
        text(this.said, "");
        window.clearTimeout(this.soon);
        this.start.disabled = true;
        this.soon = window.setTimeout(() => void this.quote(), 150);
      });
      return h("label", { class: "pick" }, input, a.name);
    };
    const dear = (a: ActionOption): string => (o.budget !== undefined && a.price.known && a.price.high > o.budget ? " ✕ more than the budget" : "");
    const parts: Node[] = [];
    if (can.length > 0) {
      parts.push(table(["Action", "Price: part of its speed", "", "What it counts"], can.map((a) => [
        box(a), a.running ? `runs: ${a.running}` : h("span", { title: a.price.why ?? "" }, priceWords(a.price) + dear(a)),
        a.running ? "" : scale(a.price, o.budget, most) as Node | string, a.words,
      ]), ["", "number", "scale", "why"]));
      const unknown = new Set(can.filter((a) => !a.running && !a.price.known && a.price.why).map((a) => a.price.why as string));
      for (const why of unknown) parts.push(h("p", { class: "dim" }, "Where the price is not known: " + why));
    }
    const reasons = new Map<string, string[]>();
    for (const a of all) if (a.why_not) reasons.set(a.why_not, [...(reasons.get(a.why_not) ?? []), a.name]);
    if (reasons.size > 0) {
      parts.push(h("h3", null, "Not possible for this domain now"), table(["Action", "Why not"], [...reasons].map(([why, names]) => [names.join(", "), why]), ["names", "why"]));
    }
    this.offers.replaceChildren(...(parts.length > 0 ? parts : [h("p", { class: "empty" }, "There is nothing to look at.")]));
    if (focus !== "") [...this.offers.querySelectorAll("input")].find((i) => i.value === focus)?.focus();
  }

  // quote asks for the price of what is chosen, together and beside what runs.
  private async quote(): Promise<void> {
    const n = ++this.quotes;
    const names = [...this.chosen];
    if (names.length === 0) {
      this.quoted.className = "dim";
      text(this.quoted, "Choose one or more actions: their price together is told before they start.");
      this.start.disabled = true;
      return;
    }
    try {
      const q = await get<Action>(`domains/${part(this.ref)}/quote?seconds=${part(this.length.value)}${names.map((a) => "&action=" + part(a)).join("")}`);
      if (n !== this.quotes || this.closed) return;
      this.showQuote(q, names);
    } catch (e) {
      if (n !== this.quotes || this.closed) return;
      this.quoted.className = "bad";
      text(this.quoted, e instanceof Failure ? e.message : String(e));
      this.start.disabled = true;
    }
  }

  private showQuote(q: Action, names: string[]): void {
    const refused = q.state === "refused";
    const seconds = refused ? Number(this.length.value) : q.seconds;
    const p = q.price;
    const cost = p.known ? `${priceWords(p)} of its speed, about ${(p.slowdown * seconds).toFixed(1)} s of its time` : "price not known" + (p.why ? `: ${p.why}` : "");
    const budget = q.budget === undefined ? "" : `; budget ${share(q.budget)} %`;
    const shorter = q.wanted_seconds > q.seconds && !refused ? ` (instead of ${lasting(q.wanted_seconds)}: no more is allowed)` : "";
    this.quoted.className = refused ? "refused" : "allowed";
    this.quoted.replaceChildren(h("strong", null, refused ? "✕ Refused. " : "✓ "), `${names.join(" + ")} for ${lasting(seconds)}${shorter}: ${cost}${budget}.`, refused ? h("span", { class: "reason" }, " " + (q.why ?? "")) : "");
    this.start.disabled = refused || !this.shared.session.changes || this.starting;
  }

  private async begin(): Promise<void> {
    const names = [...this.chosen];
    if (names.length === 0 || this.starting) return;
    this.starting = true;
    this.start.disabled = true;
    this.said.className = "dim";
    text(this.said, "Being attached …");
    try {
      const a = await post<Action>(`domains/${part(this.ref)}/actions`, { actions: names, seconds: Number(this.length.value) });
      if (this.closed) return;
      this.chosen.clear();
      this.built = "";
      text(this.said, "");
      this.shared.actions.set(a.id, a);
      this.actions();
      this.open(a);
    } catch (e) {
      this.said.className = "bad";
      text(this.said, e instanceof Failure ? e.message : String(e));
    } finally {
      this.starting = false;
      if (!this.closed) void this.load();
    }
  }

  private showRunning(list: Action[]): void {
    for (const [id, c] of this.cards) if (!list.some((a) => a.id === id)) { c.element.remove(); this.cards.delete(id); }
    for (const a of list) {
      let c = this.cards.get(a.id);
      if (!c) {
        c = this.card(a);
        this.cards.set(a.id, c);
        this.runs.append(c.element);
      }
      c.action = a;
      const budget = a.budget === undefined ? "" : ` · budget ${share(a.budget)} %`;
      text(c.facts, `predicted ${priceWords(a.price)} · measured ${a.measured_price.known ? priceWords(a.measured_price) : "not yet"}${budget} · ${a.units} units, ${count(a.hits)} hits${a.lost > 0 ? `, at most ${count(a.lost)} events lost` : ""}`);
      this.countDown(c);
    }
  }

  private card(a: Action): Card {
    const left = h("span", { class: "left" });
    const bar = h("progress", { max: 1, "aria-label": "Time that is left" });
    const facts = h("span", { class: "dim" });
    const said = h("span", { class: "bad", role: "alert" });
    const stop = h("button", { type: "button", class: "stop-look", disabled: !this.shared.session.changes, "aria-label": "Stop " + a.actions.join(", ") }, "■ Stop");
    stop.addEventListener("click", () => {
      stop.disabled = true;
      void post<Action>(`actions/${part(a.id)}/stop`, {}).then((ended) => { this.shared.actions.set(ended.id, ended); this.actions(); })
        .catch((e: unknown) => { stop.disabled = false; text(said, e instanceof Failure ? e.message : String(e)); });
    });
    const element = h("div", { class: "run", role: "group", "aria-label": "Runs: " + a.actions.join(", ") },
      h("strong", null, "▶ " + a.actions.join(" + ")), bar, left, stop, h("button", { type: "button", onclick: () => this.open(a) }, "Results so far"), said, facts);
    return { element, left, bar, facts, action: a };
  }

  private countDown(c: Card): void {
    const a = c.action;
    const left = a.until ? Math.max(0, (Date.parse(a.until) - now()) / 1000) : a.seconds;
    c.bar.value = a.seconds > 0 ? Math.min(1, left / a.seconds) : 0;
    text(c.left, a.state === "asked" ? "being attached" : left > 0 ? lasting(left) + " left" : "ending");
  }

  private showPast(list: Action[]): void {
    const signature = JSON.stringify(list);
    if (signature === this.pastShown) return;
    this.pastShown = signature;
    const focus = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.look : undefined;
    const rows = list.slice(0, 12).map((a): (Node | string)[] => [
      a.state === "refused" ? moment(new Date(a.asked)) : h("button", { type: "button", class: "open-result", "data-look": a.id, "aria-label": `Results of ${a.actions.join(", ")} at ${clock(new Date(a.asked))}`, onclick: () => this.open(a) }, moment(new Date(a.asked))),
      a.actions.join(", "), a.started && a.until ? lasting((Date.parse(a.until) - Date.parse(a.started)) / 1000) : "–", priceWords(a.price), a.state === "refused" ? "–" : priceWords(a.measured_price),
      a.state === "refused" ? "–" : count(a.hits), a.state === "refused" ? "✕ refused: " + (a.why ?? "") : (codes[a.code ?? ""] ?? a.code ?? "") + (a.why && a.code !== "stopped" && a.code !== "time-up" ? ": " + a.why : ""),
    ]);
    this.past.replaceChildren(...(rows.length === 0 ? [] : [h("h3", null, "Closer looks of late"), table(["At", "Actions", "Ran for", "Predicted", "Measured", "Hits", "How it ended"], rows, ["", "names", "number", "number", "number", "number", "why"])]));
    if (focus) [...this.past.querySelectorAll("button")].find((b) => b.dataset.look === focus)?.focus();
  }

  private open(a: Action): void {
    if (this.result?.id === a.id) return;
    this.result?.close();
    const r = new LookResult(a.id, this.steps, () => { r.close(); this.shown.replaceChildren(); this.result = undefined; });
    this.result = r;
    this.shown.replaceChildren(r.element);
    this.shown.scrollIntoView({ block: "nearest" });
  }
}
