// Parts that a domain's page and an incident's share.
import type { Incident, Surroundings, Variable } from "./api";
import { Failure, part, post } from "./api";
import { h } from "./dom";
import { count, moment } from "./words";

/** table is a table with a head. */
export function table(heads: string[], rows: (Node | string)[][], kinds: string[] = []): HTMLElement {
  return h("div", { class: "scroll" }, h("table", null,
    h("thead", null, h("tr", null, heads.map((t, i) => h("th", { scope: "col", class: kinds[i] ?? "" }, t)))),
    h("tbody", null, rows.map((r) => h("tr", null, r.map((c, i) => h("td", { class: kinds[i] ?? "" }, c)))))));
}

/** columns are those of a table that can be sorted. value is what a row is sorted by. */
export interface Column<R> { title: string; kind?: string; hint?: string; cell: (r: R) => Node | string; value?: (r: R) => number | string }

/** Order is what a table is sorted by: a column, and which way. */
export interface Order { column: number; down: boolean }

/** sortable is a table of which the heads sort it. It shows the first ones; order is kept, and again called when it changes. */
export function sortable<R>(columns: Column<R>[], rows: R[], order: Order, most: number, again: () => void): HTMLElement {
  const by = columns[order.column]?.value;
  const sorted = by ? [...rows].sort((a, b) => {
    const [x, y] = [by(a), by(b)];
    const way = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
    return order.down ? -way : way;
  }) : rows;
  const heads = columns.map((c, i) => {
    if (!c.value) return h("th", { scope: "col", class: c.kind, title: c.hint }, c.title);
    const sort = (): void => {
      order.down = order.column === i ? !order.down : c.kind === "number";
      order.column = i;
      again();
    };
    return h("th", { scope: "col", class: c.kind, title: c.hint, "aria-sort": order.column === i ? (order.down ? "descending" : "ascending") : null }, h("button", { type: "button", onclick: sort, "data-head": i }, c.title));
  });
  return h("div", { class: "scroll" }, h("table", null, h("thead", null, h("tr", null, heads)),
    h("tbody", null, sorted.slice(0, most).map((r) => h("tr", null, columns.map((c) => h("td", { class: c.kind }, c.cell(r))))))));
}

/** variables shows which features made a unit unusual. */
export function variables(list: Variable[]): HTMLElement {
  return table(["Feature", "Part", "Counted", "Usually", "Out of the usual"], list.map((v) => [
    h("span", { title: v.words }, v.feature), v.subsystem, count(v.observed), count(v.usual_low) + " – " + count(v.usual_high),
    (v.deviation > 0 ? "▲ +" : v.deviation < 0 ? "▼ −" : "") + Math.abs(v.deviation).toFixed(1) + " ×",
  ]), ["", "", "number", "number", "number"]);
}

/** facts is a list of names and values. */
export function facts(list: [string, (Node | string)][]): HTMLElement {
  return h("dl", { class: "facts" }, list.map(([k, v]) => h("div", null, h("dt", null, k), h("dd", null, v))));
}

const str = (v: unknown): string => (typeof v === "string" || typeof v === "number" ? String(v) : "");
const party = (v: unknown): string => (typeof v === "object" && v !== null ? str((v as Record<string, unknown>).name) || str((v as Record<string, unknown>).id) : "");

/** around shows whose a domain is, what it reaches, and what else happened. */
export function around(s: Surroundings): HTMLElement {
  const list: [string, Node | string][] = [];
  if (s.owner) {
    const o = s.owner;
    list.push(["Whose", [party(o.project), party(o.user), str(o.flavor), str(o.name)].filter((x) => x !== "").join(" · ") || str(o.manager)]);
  }
  for (const i of s.interfaces ?? []) {
    const addresses = Array.isArray(i.addresses) ? (i.addresses as Record<string, unknown>[]).map((a) => `${str(a.ip)} (${str(a.source)})`).join(", ") : "";
    list.push(["Interface", [str(i.name), str(i.mac), [str(i.kind), str(i.source)].filter(Boolean).join(" "), addresses].filter(Boolean).join(" · ")]);
  }
  for (const d of s.disks ?? []) list.push(["Disk", [str(d.target), str(d.bus), str(d.source)].filter(Boolean).join(" · ")]);
  for (const o of s.others ?? []) list.push(["Also anomalous", h("span", null, h("a", { href: "#/domain/" + part(o.uuid) }, o.name), " since " + moment(new Date(o.anomaly.begin)) + ": " + o.anomaly.text)]);
  for (const e of s.events ?? []) list.push([moment(new Date(e.at)), e.what + (e.detail ? ": " + e.detail : "")]);
  if (s.error) list.push(["Not known", s.error]);
  return list.length === 0 ? h("p", { class: "empty" }, "libvirt told nothing of its surroundings.") : facts(list);
}

const labels: Record<string, string> = { true: "a true alarm", false: "a false alarm", unknown: "cannot be told" };
export const labelled = (i: Incident): string => (i.label ? (labels[i.label] ?? i.label) : i.ack ? "acknowledged" : "–");

/** judging has buttons by which an operator says what an incident was. */
export function judging(i: Incident, changes: boolean, done: (i: Incident) => void): HTMLElement {
  const said = h("p", { role: "status" });
  const note = h("input", { type: "text", maxlength: 500, placeholder: "Note (optional)", "aria-label": "Note", value: i.note ?? "" });
  const act = (path: string, body: Record<string, string>): void => {
    said.textContent = "…";
    void post<Incident>(`incidents/${part(i.id)}/${path}`, note.value.trim() === "" ? body : { ...body, note: note.value.trim() })
      .then((n) => { said.textContent = "Kept."; done(n); })
      .catch((e: unknown) => { said.textContent = e instanceof Failure ? e.message : String(e); });
  };
  const button = (words: string, f: () => void, pressed: boolean): HTMLElement => h("button", { type: "button", disabled: !changes, "aria-pressed": String(pressed), onclick: f }, words);
  return h("div", { class: "judging" },
    button("▲ True alarm", () => act("label", { label: "true" }), i.label === "true"),
    button("✕ False alarm", () => act("label", { label: "false" }), i.label === "false"),
    button("? Cannot be told", () => act("label", { label: "unknown" }), i.label === "unknown"),
    button("Acknowledge", () => act("ack", {}), Boolean(i.ack)), note,
    changes ? null : h("p", { class: "dim" }, "Nothing can be changed at this address, which every user of the host can open: use a UNIX socket, dashboard.web_config, or the virtsentry command."),
    said);
}

/** incidentRows is a table of incidents. */
export function incidentRows(list: Incident[], domain: boolean): HTMLElement {
  const heads = ["Opened", "Ended", "Kind", ...(domain ? ["Domain"] : []), "Label", "What"];
  return table(heads, list.map((i) => [
    h("a", { href: "#/incident/" + part(i.id) }, moment(new Date(i.since))), i.closed ? (i.until ? moment(new Date(i.until)) : "–") : h("strong", null, "open"), i.kind,
    ...(domain ? [h("a", { href: "#/domain/" + part(i.uuid) }, i.name)] : []), labelled(i), i.text,
  ]), ["number", "number", "", "", "", "why"].slice(0, domain ? 6 : 4).concat(domain ? [] : ["", "why"].slice(1)));
}
