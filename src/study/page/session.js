// What a rater is shown and has answered: drawn once, kept in this browser, saved and read back. Its form is that of the
// files that `coala study --answers` reads.
"use strict";

const study = JSON.parse(document.getElementById("study").textContent);
const shown = new Map([...study.comparisons, ...study.attention_checks].map((one) => [one.id, one]));
const kKept = `coala-study-${study.study}`;  // of localStorage

/** A whole number below `bound`, each as likely. */
function below(bound) {
  const all = 2 ** 32;
  const numbers = new Uint32Array(1);
  do crypto.getRandomValues(numbers); while (numbers[0] >= all - (all % bound));
  return numbers[0] % bound;
}

function shuffled(list) {
  const result = [...list];
  for (let last = result.length - 1; last > 0; last--) {
    const other = below(last + 1);
    [result[last], result[other]] = [result[other], result[last]];
  }
  return result;
}

/** A new rater: which comparisons, in which order, and whose reply stands where. */
function newSession() {
  const rater = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const drawn = shuffled(study.comparisons).slice(0, study.comparisons_per_rater);
  return {
    coala_study_answers: 1, study: study.study, rater, consented: true, changes: 0,
    comparisons: shuffled([...drawn, ...study.attention_checks]).map(({ id, texts }) => (
      { id, texts: shuffled(texts.map((text) => text.id)), seconds: 0 })),
  };
}

/** What is wrong with a session that came from outside; empty: nothing. */
function faultOf(session) {
  if (session === null || typeof session !== "object" || session.coala_study_answers !== 1) return "This is no file of answers.";
  if (session.study !== study.study) return "These answers are of another study.";
  const { rater, changes, comparisons } = session;
  const damaged = "These answers are damaged.";
  if (typeof rater !== "string" || !/^[0-9a-f]{16}$/.test(rater) || !Number.isSafeInteger(changes) || changes < 0 ||
      session.consented !== true || !Array.isArray(comparisons)) return damaged;
  if (comparisons.length !== study.comparisons_per_rater + study.attention_checks.length) return damaged;
  const seen = new Set();
  for (const one of comparisons) {
    const known = one && shown.get(one.id);
    if (!known || seen.has(one.id) || !Array.isArray(one.texts)) return damaged;
    seen.add(one.id);
    const ids = known.texts.map((text) => text.id);
    if ([...one.texts].sort().join() !== [...ids].sort().join() || !Number.isFinite(one.seconds) || one.seconds < 0) return damaged;
    if (one.choice !== undefined && one.choice !== null && !ids.includes(one.choice)) return damaged;
  }
  return study.attention_checks.every((check) => seen.has(check.id)) ? "" : damaged;
}

let inMemory = null;  // where the browser keeps nothing
let keeps = true;

/** The rater's session as it stands, of another tab too; null: there is none. */
function kept() {
  if (!keeps) return inMemory;
  try {
    const session = JSON.parse(localStorage.getItem(kKept));
    return session !== null && faultOf(session) === "" ? session : null;
  } catch {
    return inMemory;
  }
}

/** @returns whether the browser keeps it when the page is closed */
function keep(session) {
  inMemory = session;
  try {
    if (session === null) localStorage.removeItem(kKept);
    else localStorage.setItem(kKept, JSON.stringify(session));
  } catch {
    keeps = false;  // storage is off or full: what it has is older than what is in memory
  }
  return keeps;
}

function isAnswered(one) {
  return one.choice !== undefined;
}

function countAnswered(session) {
  return session.comparisons.filter(isAnswered).length;
}

/** The place of the first comparison without an answer; the number of comparisons: all have one. */
function firstOpen(session) {
  const at = session.comparisons.findIndex((one) => !isAnswered(one));
  return at < 0 ? session.comparisons.length : at;
}

/**
 * Takes in answers that were saved. Those of the rater who is here already are added to what is here.
 * @returns {session, added}, or {fault}
 */
function takeIn(text) {
  let read;
  try {
    read = JSON.parse(text);
  } catch {
    return { fault: "This is no file of answers." };
  }
  const fault = faultOf(read);
  if (fault) return { fault };
  const here = kept();
  if (here === null) return { session: read, added: countAnswered(read) };
  if (here.rater !== read.rater) {
    return { fault: "There are answers of somebody else on this device. Save them, delete them here, and try again." };
  }
  const saved = new Map(read.comparisons.map((one) => [one.id, one]));
  let added = 0;
  for (const [at, one] of here.comparisons.entries()) {
    const other = saved.get(one.id);
    if (isAnswered(one) || !other || !isAnswered(other)) continue;
    here.comparisons[at] = other;
    added += 1;
  }
  here.changes = Math.max(here.changes, read.changes) + (added > 0 ? 1 : 0);
  return { session: here, added };
}
