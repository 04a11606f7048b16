// Lessons: what is said of replies goes to the server, which answers with what it has learnt.

import { ask, download } from "./api.js";
import { lineChart } from "./chart.js";
import { byId, complain, number, percent, say } from "./dom.js";
import { addTaught, dropTaught, taughtHead } from "./heads.js";

let on = false;
let growth = [];      // [{x: lessons, y: accuracy, low, high}] since the page was loaded
const given = [];     // lessons of this page, [{id, unmark}]; unmark takes a lesson's mark off the reply
let lastId = null;    // of the last lesson that is known here, whoever gave it

export function teaches() {
  return on;
}

/** Shows what was taught, where the heads, which are loaded before, say that the server is taught. @throws ApiError */
export async function loadTeaching() {
  on = taughtHead() !== "";
  const report = on ? await ask("GET", "/v1/feedback") : null;
  byId("teach-on").hidden = !on;
  byId("teach-off").hidden = on;
  byId("telling").hidden = !on;
  if (!on) return;
  show(report);
  if (count(report) > 0 && report.head) await addTaught(report.head);
}

/**
 * Gives a lesson.
 * @param lesson  the body of the request
 * @param unmark  takes the lesson's mark off the reply when it is taken back
 * @throws ApiError
 */
export async function teach(lesson, unmark) {
  say("Learning …");
  const start = performance.now();
  const report = await ask("POST", "/v1/feedback", lesson);
  given.push({ id: report.id, unmark });
  show(report);
  try {
    if (report.head) await addTaught(report.head);
  } catch (error) {
    complain(error.message);  // the lesson is kept: only the list of heads is old
  }
  say(`Learnt in ${number((performance.now() - start) / 1000)} s. The next reply is written with it.`);
}

const kTakenBackElsewhere = {
  not_the_last: "Nothing was taken back: lessons from elsewhere came after it, and only the last of all can be taken back.",
  not_there: "Nothing was taken back: that lesson had been taken back elsewhere already.",
};

/** Takes back the last lesson of this page, or, when it has given none, the last that it knows of. */
async function undo() {
  const id = given.at(-1)?.id ?? lastId;
  try {
    say("Taking it back …");
    const report = await ask("DELETE", `/v1/feedback/last?id=${encodeURIComponent(id)}`);
    if (given.at(-1)?.id === id) given.pop().unmark();
    show(report);
    if (count(report) === 0) await dropTaught();
    say("The last lesson is taken back.");
  } catch (error) {
    say("");
    complain(kTakenBackElsewhere[error.code] ?? error.message);
    if (!kTakenBackElsewhere[error.code]) return;
    if (error.code === "not_there" && given.at(-1)?.id === id) given.pop().unmark();
    await ask("GET", "/v1/feedback").then(show, (failure) => complain(failure.message));
  }
}

function count(report) {
  return (report.pairs ?? 0) + (report.ratings ?? 0);
}

function plural(n, word) {
  return `${number(n)} ${word}${n === 1 ? "" : "s"}`;
}

/** What lessons of other prompts alone would have said of the last one. */
function lastLesson(report) {
  const odds = report.last_log_odds;
  if (!count(report) || !Number.isFinite(odds)) return "";
  const share = 1 / (1 + Math.exp(-odds));
  const verdict = share > 0.6 ? "they foresaw it" : share < 0.4 ? "they say the opposite, so it was news" : "they could not tell, so it was news";
  const seconds = report.seconds ?? {};
  const time = Number.isFinite(seconds.evaluation) && Number.isFinite(seconds.solution)
    ? ` Reading it took ${number(seconds.evaluation, 3)} s, solving ${number(seconds.solution, 3)} s.` : "";
  return `Your lessons about other prompts give the last one ${percent(share)} (log-odds ${number(odds)}): ${verdict}.${time}`;
}

/** What the last lesson did to itself. */
function lastChange({ last_change: change }) {
  if (!change) return "";
  const share = (odds) => percent(1 / (1 + Math.exp(-odds)));
  return `The change on it: the head gave it ${share(change.before)} before (log-odds ${number(change.before)}), `
    + `and gives it ${share(change.after)} now (${number(change.after)}).`;
}

function show(report) {
  const lessons = count(report);
  lastId = report.id ?? null;
  byId("lessons").textContent = number(lessons);
  byId("lessons-note").textContent = `${plural(report.pairs ?? 0, "pair")}, ${plural(report.ratings ?? 0, "rating")}`;
  const accuracy = report.accuracy ?? {};
  const measured = accuracy.lessons > 0 && Number.isFinite(accuracy.value);
  byId("accuracy").textContent = measured ? percent(accuracy.value) : "–";
  byId("accuracy-note").textContent = !measured ? "with lessons about several prompts"
    : Number.isFinite(accuracy.low) && Number.isFinite(accuracy.high)
      ? `95 %: ${Math.round(100 * accuracy.low)} to ${Math.round(100 * accuracy.high)}` : "";
  growth = growth.filter(({ x }) => x < lessons);
  if (measured) growth.push({ x: lessons, y: accuracy.value, low: accuracy.low, high: accuracy.high });
  byId("growth-figure").hidden = growth.length === 0;
  if (growth.length > 0) {
    const last = Math.max(10, lessons);
    byId("growth").replaceChildren(lineChart(growth, { x: [0, last], y: [0, 1] },
      { x: [[0, "0"], [last, plural(last, "lesson")]], y: [[0, "0"], [0.5, "50 %"], [1, "100 %"]] },
      `Held-out accuracy after ${plural(lessons, "lesson")}: ${percent(growth.at(-1).y, accuracy.low, accuracy.high)}`));
  }
  byId("last-lesson").textContent = lastLesson(report);
  byId("last-change").textContent = lastChange(report);
  const [raised, lowered] = [report.raised ?? [], report.lowered ?? []];
  byId("words").hidden = raised.length + lowered.length === 0;
  byId("raised").textContent = raised.join(" · ") || "–";
  byId("lowered").textContent = lowered.join(" · ") || "–";
  setOff(byId("undo"), lessons === 0);
  for (const id of Object.keys(kMade)) setOff(byId(id), lessons === 0);
  setOff(byId("get-pairs"), !report.pairs);
  setOff(byId("get-ratings"), !report.ratings);
}

// Not `disabled`: the button that was just used would lose the focus.
function setOff(button, off) {
  button.setAttribute("aria-disabled", String(off));
}

function whenOn(button, action) {
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-disabled") !== "true") action();
  });
}

// Files that the server makes when they are asked for.
const kMade = {
  "get-head": ["/v1/feedback/head", "taught.safetensors"],
  "get-model": ["/v1/feedback/model", "taught.gguf"],
  "get-adapter": ["/v1/feedback/adapter", "taught-lora.gguf"],
};

async function take(path, name) {
  try {
    complain("");
    say(`The server makes ${name} …`);
    await download(path, name);
    say(`${name} is saved.`);
  } catch (error) {
    say("");
    complain(error.message);
  }
}

export function startTeaching() {
  for (const [id, [path, name]] of Object.entries(kMade)) whenOn(byId(id), () => take(path, name));
  whenOn(byId("undo"), undo);
  const files = { "get-pairs": ["/v1/feedback/pairs", "pairs.jsonl"], "get-ratings": ["/v1/feedback/ratings", "ratings.jsonl"] };
  for (const [id, [path, name]] of Object.entries(files)) {
    whenOn(byId(id), () => download(path, name).catch((error) => complain(error.message)));
  }
}
