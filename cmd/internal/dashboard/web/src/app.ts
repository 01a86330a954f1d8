// The page: which view is shown, what all views share, and the stream of news.
import { Failure, openSession, type Action, type Row, type ScoredUnit, type Session } from "./api";
import { h, newInks, text } from "./dom";
import { ListView } from "./list";
import { DomainView } from "./domain";
import { IncidentView } from "./incident";
import { IncidentsView } from "./incidents";

/** View is what is shown below the head of the page. */
export interface View {
  readonly element: HTMLElement;
  readonly title: string;
  rows?(): void; // the list of domains has changed
  units?(list: ScoredUnit[]): void;
  actions?(): void; // closer looks have changed
  repaint?(): void; // the colours have changed
  close?(): void;
}

/** Shared is what views share. */
export interface Shared { rows: Map<string, Row>; actions: Map<string, Action>; known: boolean; session: Session }

const shared: Shared = { rows: new Map(), actions: new Map(), known: false, session: { version: "", changes: false, history: {} } };
let view: View | undefined;

const main = document.getElementById("main") as HTMLElement;
const trouble = document.getElementById("trouble") as HTMLElement;
const live = h("span", { id: "live", role: "status" }, "connecting");

function complain(words: string): void {
  trouble.hidden = words === "";
  text(trouble, words);
}

function route(): void {
  const [, page = "", ref = "", what = ""] = location.hash.split("/");
  view?.close?.();
  try {
    if (page === "domain" && ref !== "") view = new DomainView(shared, decodeURIComponent(ref), what === "look");
    else if (page === "incident" && ref !== "") view = new IncidentView(shared, decodeURIComponent(ref));
    else if (page === "incidents") view = new IncidentsView();
    else view = new ListView(shared);
  } catch {
    view = new ListView(shared);
  }
  main.replaceChildren(view.element);
  document.title = view.title === "" ? "virtsentry" : view.title + " · virtsentry";
  for (const a of document.querySelectorAll("#top nav a")) {
    const here = a.getAttribute("href") === (page === "incidents" ? "#/incidents" : "#/");
    if (here && (page === "" || page === "incidents")) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  window.scrollTo(0, 0);
}

function repaint(): void {
  newInks();
  view?.repaint?.();
}

// The colours are those of the system, unless the reader has chosen others.
function theme(): HTMLElement {
  const choices = ["system", "light", "dark"];
  const apply = (choice: string): void => {
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    repaint();
  };
  let kept = "system";
  try { kept = localStorage.getItem("theme") ?? "system"; } catch { /* it may be forbidden; then nothing is kept */ }
  if (!choices.includes(kept)) kept = "system";
  const select = h("select", { id: "theme", "aria-label": "Colours" }, choices.map((c) => h("option", { value: c, selected: c === kept }, c)));
  select.addEventListener("change", () => {
    try { localStorage.setItem("theme", select.value); } catch { /* likewise */ }
    apply(select.value);
  });
  apply(kept);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  return h("label", { class: "theme" }, "Colours ", select);
}

function listen(): void {
  const source = new EventSource("/api/events");
  let heard = Date.now();
  const on = <T>(name: string, f: (v: T) => void): void => source.addEventListener(name, (e) => {
    heard = Date.now();
    f(JSON.parse((e as MessageEvent<string>).data) as T);
  });
  source.addEventListener("open", () => {
    shared.actions.clear(); // those that are known are told of again: the daemon may have been started anew
    heard = Date.now(); text(live, "live"); live.className = "on"; complain(""); });
  source.addEventListener("error", () => {
    text(live, "not connected");
    live.className = "off";
    complain("No news from the daemon: what is shown may be old. Trying again.");
    if (source.readyState === EventSource.CLOSED) window.setTimeout(listen, 5000);
  });
  on<Row[]>("domains", (list) => {
    shared.known = true;
    for (const r of list) shared.rows.set(r.uuid, r);
    view?.rows?.();
  });
  on<string[]>("gone", (list) => {
    for (const uuid of list) shared.rows.delete(uuid);
    view?.rows?.();
  });
  on<Action[]>("actions", (list) => {
    for (const a of list) shared.actions.set(a.id, a);
    view?.actions?.();
  });
  on<ScoredUnit[]>("units", (list) => view?.units?.(list));
  on("alive", () => undefined);
  const check = window.setInterval(() => {
    if (source.readyState === EventSource.CLOSED) window.clearInterval(check);
    else if (Date.now() - heard > 40_000) complain("No news from the daemon for a while: what is shown may be old.");
  }, 5000);
}

async function start(): Promise<void> {
  const top = document.getElementById("top") as HTMLElement;
  top.append(h("a", { href: "#/", class: "brand" }, "virtsentry"),
    h("nav", { "aria-label": "Pages" }, h("a", { href: "#/" }, "Domains"), h("a", { href: "#/incidents" }, "Incidents")),
    h("span", { class: "space" }), live, theme());
  try {
    shared.session = await openSession();
  } catch (e) {
    complain(e instanceof Failure ? e.message : String(e));
  }
  const history = shared.session.history;
  if (history.error) complain("Incidents cannot be written to disk, and are kept in memory until they can be: " + history.error);
  else if (history.damaged) complain("The database of incidents was damaged and moved aside: " + history.damaged);
  window.addEventListener("hashchange", route);
  route();
  listen();
}

void start();
