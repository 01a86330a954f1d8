// All domains: a line each.
import type { Row } from "./api";
import type { Shared, View } from "./app";
import { h, text } from "./dom";
import { drawRibbon, ribbon } from "./ribbon";
import { ago, badge, look, looks, percent } from "./words";

interface Line { element: HTMLTableRowElement; state: HTMLElement; since: HTMLElement; ribbon: HTMLCanvasElement; coverage: HTMLElement; scored: HTMLElement; incidents: HTMLElement; cost: HTMLElement; reason: HTMLElement; row?: Row }

type Key = "state" | "name" | "since" | "coverage" | "scored" | "incidents" | "cost";
const columns: { key?: Key; title: string; kind: string; hint: string }[] = [
  { key: "state", title: "State", kind: "", hint: "The most serious first" },
  { key: "name", title: "Domain", kind: "", hint: "By name" },
  { key: "since", title: "For", kind: "number", hint: "Since the state changed" },
  { title: "Last hour", kind: "ribbon", hint: "A bar a minute: the taller, the less probable its least probable unit; hatched: not scored; a line: nothing is known" },
  { key: "incidents", title: "Open", kind: "number", hint: "Open incidents" },
  { key: "coverage", title: "Coverage", kind: "", hint: "Whether all devices are seen" },
  { key: "scored", title: "Scored", kind: "number", hint: "Share of the guest's life that was scored" },
  { key: "cost", title: "Cost", kind: "number", hint: "The daemon's CPU time for each unit of two seconds" },
  { title: "Why", kind: "", hint: "" },
];

// What the list was like when it was left.
const kept = { filter: "", state: "", key: "state" as Key, down: false };

export class ListView implements View {
  readonly title = "";
  readonly element: HTMLElement;
  private readonly lines = new Map<string, Line>();
  private readonly body = h("tbody", null);
  private readonly search = h("input", { type: "search", id: "filter", placeholder: "Filter by name, UUID or reason   ( / )", "aria-label": "Filter domains" });
  private readonly chips = h("div", { class: "chips", role: "group", "aria-label": "States" });
  private readonly empty = h("p", { class: "empty" });
  private readonly shown = h("span", { class: "dim", role: "status" });
  private readonly heads = new Map<Key, HTMLElement>();
  private readonly keys = (e: KeyboardEvent): void => this.key(e);
  private readonly tick: number;
  private chipText = "";

  constructor(private readonly shared: Shared) {
    this.search.value = kept.filter;
    this.search.addEventListener("input", () => { kept.filter = this.search.value; this.order(); });
    const head = h("tr", null, columns.map((c) => {
      if (!c.key) return h("th", { scope: "col", class: c.kind, title: c.hint }, c.title);
      const key = c.key;
      const th = h("th", { scope: "col", class: c.kind }, h("button", { type: "button", title: c.hint, onclick: () => this.sort(key) }, c.title));
      this.heads.set(key, th);
      return th;
    }));
    this.element = h("section", { class: "list" },
      h("h1", { class: "away" }, "Domains"),
      h("div", { class: "bar" }, this.search, this.chips, this.shown),
      h("div", { class: "scroll" }, h("table", { id: "domains" }, h("thead", null, head), this.body)),
      this.empty, legend());
    document.addEventListener("keydown", this.keys);
    this.tick = window.setInterval(() => this.ages(), 5000);
    this.rows();
  }

  close(): void {
    document.removeEventListener("keydown", this.keys);
    window.clearInterval(this.tick);
  }

  repaint(): void {
    for (const l of this.lines.values()) if (l.row) drawRibbon(l.ribbon, l.row.ribbon);
  }

  rows(): void {
    for (const [uuid, l] of this.lines) if (!this.shared.rows.has(uuid)) { l.element.remove(); this.lines.delete(uuid); }
    for (const [uuid, row] of this.shared.rows) {
      let l = this.lines.get(uuid);
      if (!l) { l = line(row); this.lines.set(uuid, l); }
      if (l.row !== row) fill(l, row);
    }
    this.order();
  }

  private sort(key: Key): void {
    kept.down = kept.key === key && !kept.down;
    kept.key = key;
    this.order();
  }

  private order(): void {
    const wanted = kept.filter.trim().toLowerCase();
    const counts: Record<string, number> = {};
    const list: Line[] = [];
    for (const l of this.lines.values()) {
      const r = l.row as Row;
      counts[r.state] = (counts[r.state] ?? 0) + 1;
      const fits = (kept.state === "" || r.state === kept.state) &&
        (wanted === "" || (r.name + " " + r.uuid + " " + (r.reason?.code ?? "") + " " + (r.reason?.text ?? "")).toLowerCase().includes(wanted));
      if (fits) list.push(l);
    }
    list.sort((a, b) => compare(a.row as Row, b.row as Row));
    // Lines that are in their places stay there: the one that has the focus keeps it.
    const old = [...this.body.children];
    if (old.length !== list.length || list.some((l, i) => old[i] !== l.element)) {
      const focus = document.activeElement;
      this.body.replaceChildren(...list.map((l) => l.element));
      if (focus instanceof HTMLElement && this.body.contains(focus)) focus.focus();
    }
    for (const [key, th] of this.heads) {
      if (key === kept.key) th.setAttribute("aria-sort", kept.down ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    }
    this.choose(counts);
    text(this.shown, list.length === this.lines.size ? `${list.length} domain${list.length === 1 ? "" : "s"}` : `${list.length} of ${this.lines.size} domains`);
    text(this.empty, !this.shared.known ? "Asking the daemon …" : this.lines.size === 0 ? "No domain runs on this host. One that starts appears here by itself." : list.length === 0 ? "No domain is like that. Change the filter, or choose another state." : "");
  }

  private choose(counts: Record<string, number>): void {
    const told = JSON.stringify([counts, kept.state]);
    if (told === this.chipText) return;
    this.chipText = told;
    const chip = (state: string, words: (Node | string)[]): HTMLElement =>
      h("button", { type: "button", "aria-pressed": kept.state === state ? "true" : "false", onclick: () => { kept.state = kept.state === state ? "" : state; this.order(); } }, words);
    const states = Object.keys(looks).filter((s) => counts[s]);
    this.chips.replaceChildren(chip("", ["all"]), ...states.map((s) => chip(s, [badge(s), " " + counts[s]])));
  }

  private ages(): void {
    for (const l of this.lines.values()) if (l.row) text(l.since, ago(l.row.since));
  }

  private key(e: KeyboardEvent): void {
    const inField = e.target instanceof HTMLInputElement || e.target instanceof HTMLSelectElement;
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "/" && !inField) {
      e.preventDefault();
      this.search.focus();
    } else if (e.key === "Escape" && e.target === this.search) {
      this.search.value = kept.filter = "";
      this.order();
      this.search.blur();
    } else if ((e.key === "ArrowDown" || e.key === "ArrowUp" || ((e.key === "j" || e.key === "k") && !inField))) {
      if (e.target instanceof HTMLSelectElement) return;
      const links = [...this.body.querySelectorAll("a")];
      const at = links.indexOf(document.activeElement as HTMLAnchorElement);
      const down = e.key === "ArrowDown" || e.key === "j";
      links[Math.max(0, Math.min(links.length - 1, at + (down ? 1 : -1)))]?.focus();
      if (links.length > 0) e.preventDefault();
    }
  }
}

function compare(a: Row, b: Row): number {
  const way = kept.down ? -1 : 1;
  const by: Record<Key, number> = {
    state: look(a.state).rank - look(b.state).rank,
    name: 0,
    since: Date.parse(b.since) - Date.parse(a.since),
    coverage: a.coverage.localeCompare(b.coverage),
    scored: a.scored - b.scored,
    incidents: (b.incidents?.length ?? 0) - (a.incidents?.length ?? 0),
    cost: b.cost_ms_per_unit - a.cost_ms_per_unit,
  };
  return way * by[kept.key] || (kept.key === "name" ? way : 1) * a.name.localeCompare(b.name, undefined, { numeric: true }) || a.uuid.localeCompare(b.uuid);
}

function line(row: Row): Line {
  const cell = (kind: string): HTMLTableCellElement => h("td", { class: kind });
  const l: Line = {
    element: h("tr", null), state: cell(""), since: cell("number"), ribbon: ribbon(), coverage: cell(""), scored: cell("number"), incidents: cell("number"),
    cost: cell("number"), reason: cell("why"),
  };
  const link = h("a", { href: "#/domain/" + encodeURIComponent(row.uuid) }, row.name);
  l.element.append(l.state, h("th", { scope: "row" }, link), l.since, h("td", { class: "ribbon" }, l.ribbon), l.incidents, l.coverage, l.scored, l.cost, l.reason);
  l.element.addEventListener("click", (e) => { if (e.target !== link && window.getSelection()?.isCollapsed !== false) link.click(); });
  return l;
}

function fill(l: Line, r: Row): void {
  if (l.row?.state !== r.state) { l.state.replaceChildren(badge(r.state)); l.element.className = r.state; }
  if (l.row?.ribbon.states !== r.ribbon.states || l.row.ribbon.unusual !== r.ribbon.unusual) drawRibbon(l.ribbon, r.ribbon);
  text(l.since, ago(r.since));
  text(l.coverage, r.coverage + (r.unseen?.length ? ` (${r.unseen.length} not seen)` : ""));
  text(l.scored, percent(r.scored));
  const n = r.incidents?.length ?? 0;
  text(l.incidents, n === 0 ? "–" : String(n));
  text(l.cost, r.cost_ms_per_unit.toFixed(1) + " ms");
  const why = r.learning && r.state === "learning" ? `learning: ${r.learning.units} of ${r.learning.wanted_units} units` : r.reason ? r.reason.text : r.provisional ? "provisional: not judged for long enough to promise few false alarms" : "";
  text(l.reason, why);
  l.reason.title = why;
  l.row = r;
}

function legend(): HTMLElement {
  return h("details", { class: "legend" }, h("summary", null, "What the signs mean"),
    h("dl", null, Object.keys(looks).map((s) => h("div", null, h("dt", null, badge(s)), h("dd", null, look(s).means)))),
    h("p", null, "The last hour: a bar a minute, the taller the less probable its least probable unit. Full height: anomalous. A mark at the upper edge: suspect. Hatched: not scored, so it says nothing of the guest. A line at the foot: nothing is known of that time."),
    h("p", null, "Keys: / to filter, ↑ ↓ (or j k) to go through the list, Enter to open, Esc to clear the filter."));
}
