// What the daemon tells, as packages control and dashboard write it.

export interface Reason { code: string; text: string }
export interface Unseen { kind: string; name: string; why: string }
export interface OpenIncident { id?: string; kind: string; since: string; text: string }
export interface Learning { units: number; wanted_units: number; most_units: number; seconds_left: number }
export interface Ribbon { states: string; unusual: string }

export interface Row {
  uuid: string; name: string; id?: number; state: string; since: string; reason?: Reason; coverage: string; unseen?: Unseen[];
  incidents?: OpenIncident[]; learning?: Learning; provisional: boolean; scored: number; cost_ms_per_unit: number; ribbon: Ribbon;
}

export interface Variable {
  feature: string; seconds: number; subsystem: string; words: string; observed: number; typical: number; usual_low: number; usual_high: number; deviation: number;
}

export interface Unit {
  start: string; score: number; p_value: number; judged: boolean; anomalous: boolean; lost: number; sentence?: string; explain?: Variable[];
}

export interface ScoredUnit { domain: string; state: string; start: string; judged: boolean; lost?: number; score: number; p_value: number; anomalous?: boolean }

export interface Party { id?: string; name?: string }
export interface Surroundings {
  looked?: string; error?: string; owner?: Record<string, unknown>; interfaces?: Record<string, unknown>[]; disks?: Record<string, unknown>[];
  events?: { at: string; what: string; detail?: string }[];
  others?: { uuid: string; name: string; anomaly: { begin: string; end: string; open: boolean; text: string } }[];
}

export interface Domain {
  uuid: string; name: string; id?: number; pid: number; state: string; since: string; reason?: Reason; coverage: string; unseen?: Unseen[];
  learnt_units: number; profile: boolean; learning?: Learning; support_vectors: number; trained?: string;
  promise?: { accepted_per_day: number; hours_judged: number; alarms: number; bound_per_day?: number; provisional: boolean };
  units: { seen: number; judged: number; lossy: number; unread: number };
  ledger: { life_seconds: number; scored_seconds: number; reasons_seconds?: Record<string, number> };
  incidents?: OpenIncident[]; sources?: { name: string; detail?: string; error?: string }[];
  buffer_bytes: number; cpu_seconds: number; last?: Unit; alarm?: Unit; surroundings?: Surroundings; drift?: { drifted: boolean };
}

export interface Track {
  start: string; step_seconds: number; states: string[]; reasons: string[];
  state: number[] | null; reason: number[]; scored: number[]; unusual: boolean[]; score: number[]; p_value: number[];
}
export interface Timeline { uuid: string; level: number; units: Track; minutes: Track }

export interface CountsRow { feature: string; subsystem: string; words: string; low: number; typical: number; high: number; mean: number; values: number[] }
export interface Counts { start: string; step_seconds: number; units: number[] | null; total_units: number; rows: CountsRow[] | null; oldest?: string; profile: boolean }

export interface Incident {
  id: string; uuid: string; name: string; host: string; kind: string; since: string; until?: string; closed?: string; text: string;
  from?: string; to?: string; units: number; scored_seconds: number; unscored_seconds?: Record<string, number>; unseen?: Unseen[];
  peak?: { start: string; score: number; p_value: number; lost: number; sentence: string; explain: Variable[] | null };
  surroundings?: Surroundings; ack?: string; label?: string; note?: string;
}
export interface KeptUnit { start: string; duration_seconds: number; state: string; reason?: string; judged: boolean; anomalous: boolean; score: number; p_value: number }
export interface IncidentUnits { units: KeptUnit[] | null }

export interface Verdicts { units: number; before: number; after: number }
export interface Relearnt {
  dry_run: boolean; lost?: string[]; profile: { units: number };
  effect: { attacks: { name: string; simulated: boolean; before: number; after: number }[] | null; reference: Verdicts; marked: Verdicts; remembered: Verdicts };
}

export interface Price { known: boolean; slowdown: number; low: number; high: number; why?: string }
export interface ActionOption { name: string; words: string; why_not?: string; running?: string; price: Price }
export interface ActionOptions {
  uuid: string; name: string; budget?: number; unpriced_allowed: boolean; usual_seconds: number; longest_seconds: number; guest_seconds_left?: number; actions: ActionOption[] | null;
}
export interface ActionUnit { start: string; duration_seconds: number; hits: number; lost: number; state?: string; judged: boolean; score: number; p_value: number }
export interface Action {
  id: string; uuid: string; name: string; actions: string[]; state: "asked" | "refused" | "running" | "ended"; code?: string; why?: string;
  asked: string; started?: string; until?: string; seconds: number; wanted_seconds: number; price: Price; measured_price: Price; budget?: number; units: number; hits: number; lost: number;
}
export interface Tallied { feature: string; words?: string; hits: number; kind: string; number?: number; name: string; part?: string; values?: number[] }
export interface ActionResult extends Action { line?: ActionUnit[] | null; rows: Tallied[] }

export interface Session { version: string; token?: string; changes: boolean; history: { error?: string; damaged?: string } }

let token = "";
let ahead = 0;

/** now is the daemon's time in ms, as far as it tells: the browser's clock may be another computer's, and wrong. */
export const now = (): number => Date.now() + ahead;

/** Failure is what the daemon says against a request. */
export class Failure extends Error {
  constructor(message: string, readonly status: number) { super(message); }
}

async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch("/api/" + path, { cache: "no-store", credentials: "same-origin", ...init });
  } catch {
    throw new Failure("The daemon does not answer. Is virtsentryd running?", 0);
  }
  const told = Date.parse(answer.headers.get("Date") ?? "");
  if (!Number.isNaN(told)) ahead = Math.abs(told - Date.now()) < 2000 ? 0 : told - Date.now(); // it is told in whole seconds
  const text = await answer.text();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Failure(answer.ok ? "The answer cannot be read." : `${answer.status} ${answer.statusText}`, answer.status);
  }
  if (!answer.ok) throw new Failure((value as { error?: string }).error ?? answer.statusText, answer.status);
  return value as T;
}

export const get = <T>(path: string): Promise<T> => ask<T>(path);

export const post = <T>(path: string, body: unknown): Promise<T> =>
  ask<T>(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", "X-Virtsentry-Token": token } });

export async function openSession(): Promise<Session> {
  const s = await get<Session>("session");
  token = s.token ?? "";
  return s;
}

export const part = encodeURIComponent;
