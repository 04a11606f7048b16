// What the server serves: the model, its heads, and how strongly each guides.

import { ask, download, hasKey } from "./api.js";
import { byId, complain, make, number, percent } from "./dom.js";

const known = new Map();  // name: {card, scale}; of a head without a card `card` is {}
let model = "";
let taught = "";  // name of the head that lessons make; empty: there is none

export function modelName() {
  return model;
}

/** The scales of the heads that guide, as a request has them. */
export function scales() {
  const guiding = [...known].filter(([, head]) => guides(head.card) && head.scale !== 0);
  return Object.fromEntries(guiding.map(([name, head]) => [name, head.scale]));
}

/** Names of the heads that give whole replies a score. */
export function scoringHeads() {
  return [...known].filter(([, { card }]) => card.reward === true || card.scores === true).map(([name]) => name);
}

function guides(card) {
  return card.guides !== false;
}

/** The head that lessons make, where the server is taught; "" where it is not. */
export function taughtHead() {
  return [...known].find(([, { card }]) => card.taught)?.[0] ?? "";
}

/** Asks the server anew; scales that are set stay. A single head begins at 1, of several none guides, as in requests.
 *  The head of lessons begins when there is one: see addTaught(). */
export async function loadHeads() {
  const entries = (await ask("GET", "/v1/models")).data;
  const base = entries.reduce((one, other) => (other.id.length < one.id.length ? other : one));
  model = base.id;
  const cards = new Map(entries.filter(({ id }) => id.startsWith(`${model}+`))
    .map((entry) => [entry.id.slice(model.length + 1), entry.head ?? {}]));
  for (const name of [...known.keys()]) if (!cards.has(name) && name !== taught) known.delete(name);
  const first = known.size === 0;
  const guiding = [...cards.values()].filter(guides).length;
  for (const [name, card] of cards) {
    known.set(name, { card, scale: known.get(name)?.scale ?? (first && guiding === 1 && !card.taught ? 1 : 0) });
  }
  const meta = base.meta ?? {};
  const facts = [meta.n_params ? `${meta.n_params.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 })} parameters` : "", meta.n_ctx ?? meta.n_ctx_train
    ? `context of ${number(meta.n_ctx ?? meta.n_ctx_train)} tokens` : ""].filter(Boolean).join(", ");
  byId("model").textContent = facts ? `${model} · ${facts}` : model;
  show();
}

/** The head that lessons make: it guides at 1 when it appears, and at what is set from then on. */
export async function addTaught(name) {
  await loadHeads();
  if (!known.has(name)) known.set(name, { card: {}, scale: 0 });
  if (taught !== name) known.get(name).scale = 1;
  taught = name;
  show();
}

/** All lessons are taken back. */
export async function dropTaught() {
  known.delete(taught);
  taught = "";
  await loadHeads();
}

const kBaselines = { logistic: "logistic regression", length: "the longer answer", majority: "the more frequent label" };

/** How well a head does on data that were held out, beside what does without it. */
function heldOut(card) {
  const found = card.held_out;
  if (!found) return null;
  const figure = ({ value, low, high }) => percent(value, low, high);
  const beside = Object.entries(kBaselines).filter(([name]) => found.baselines?.[name])
    .map(([name, words]) => `${words} ${figure(found.baselines[name])}`);
  const rows = Number.isFinite(found.rows) ? ` of ${number(found.rows)}` : "";
  return make("p", { class: "note" }, `Right on ${figure(found.accuracy)}${rows} held-out comparisons${beside.length ? `; ${beside.join(", ")}` : ""}.`);
}

/** The way to a head's report: a link, or where a key is asked for a file. */
function report(name, card) {
  if (!card.report) return null;
  const path = `/report?head=${encodeURIComponent(name)}`;
  const words = `Report of ${name}`;
  return make("p", { class: "note" }, !hasKey() ? make("a", { href: path }, words) : make("button", { type: "button", on: {
    click: () => download(path, `${name}.html`).catch((error) => complain(error.message)) } }, words));
}

function slider(name, head) {
  const id = `scale-${name}`;
  const shown = make("output", { for: id }, head.scale.toFixed(1));
  const input = make("input", {
    id, type: "range", min: 0, max: 2, step: 0.1, value: head.scale,
    on: {
      input: () => {
        head.scale = Number(input.value);
        shown.textContent = head.scale.toFixed(1);
      },
    },
  });
  return [make("div", { class: "between" }, make("label", { for: id, dir: "auto" }, name), shown), input];
}

function show() {
  const focused = document.activeElement?.id;
  byId("sliders").replaceChildren(...[...known].map(([name, head]) => make("li", {},
    ...(guides(head.card) ? slider(name, head) : [make("b", { dir: "auto" }, name), make("p", { class: "note" }, "Scores replies, does not guide.")]),
    heldOut(head.card), report(name, head.card))));
  byId("no-heads").hidden = known.size > 0;
  if (focused?.startsWith("scale-")) byId(focused)?.focus();
  const select = byId("scoring-head");
  const scoring = scoringHeads();
  const chosen = select.value;
  select.replaceChildren(...scoring.map((name) => make("option", { value: name }, name)));
  if (scoring.includes(chosen)) select.value = chosen;
  byId("scorer").hidden = byId("to-scorer").hidden = scoring.length === 0;
}
