// The screens: consent, one comparison after the other, thanks; keys, and what is done with the answers.
"use strict";

const kDoubleTapMs = 250;  // the second tap of two is no answer to the comparison that comes after the first
const byId = (id) => document.getElementById(id);
let session = kept();
let at = 0;           // place of the comparison that is shown
let since = null;     // when it came before the rater's eyes; null: it is not
let shownAt = 0;      // when the screen last changed
let saved = -1;       // changes of the session that was last saved or copied

function say(text) {
  byId("status").textContent = text;
}

function complain(text) {
  byId("alert").textContent = text;
  byId("alert").hidden = !text;
}

/**
 * Changes the session as it stands now, which another tab may have changed, and keeps it.
 * @returns whether there still is one
 */
function change(how) {
  session = kept();
  if (session === null) {
    since = null;
    show(true);
    say("Your answers were deleted in another tab.");
    return false;
  }
  how(session);
  store();
  return true;
}

function store() {
  if (!keep(session)) {
    complain("This browser does not keep answers when the page is closed. Save them as a file before you close it.");
  }
}

/** Adds the time for which the comparison has been seen. @returns whether there still is a session */
function countSeconds() {
  if (since === null) return session !== null;
  const seconds = (performance.now() - since) / 1000;
  since = performance.now();
  const { id } = session.comparisons[at];
  return change((now) => {
    const one = now.comparisons.find((other) => other.id === id);
    if (one) one.seconds = Math.round(1000 * (one.seconds + seconds)) / 1000;
  });
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

function showComparison() {
  const one = session.comparisons[at];
  const { prompt, texts } = shown.get(one.id);
  const textOf = new Map(texts.map((text) => [text.id, text.text]));
  byId("where").textContent = `Comparison ${at + 1} of ${session.comparisons.length}`;
  byId("prompt").textContent = prompt;
  byId("replies").replaceChildren(...one.texts.map((id, place) => {
    const reply = element("section", "", { class: "reply", "aria-labelledby": `reply-${place}` });
    reply.append(element("h3", `Reply ${place + 1}`, { id: `reply-${place}` }),
      element("p", textOf.get(id) || "(no text)", { class: "text", dir: "auto" }));
    return reply;
  }));
  byId("choices").replaceChildren(...one.texts.map((id, place) => {
    const button = element("button", "", { type: "button", "aria-pressed": one.choice === id });
    button.append(element("kbd", place + 1), ` Reply ${place + 1}`);
    button.addEventListener("click", () => answer(id));
    return button;
  }));
  byId("none").setAttribute("aria-pressed", one.choice === null);
  byId("back").setAttribute("aria-disabled", at === 0);
}

/** Shows where the rater is; `focus` moves there, which a reader of the screen follows. */
function show(focus) {
  const comparing = session !== null && at < session.comparisons.length;
  const done = session !== null && !comparing;
  byId("welcome").hidden = session !== null;
  byId("comparing").hidden = !comparing;
  byId("done").hidden = !done;
  for (const id of ["saving", "deleting", "bar"]) byId(id).hidden = session === null;
  shownAt = performance.now();
  since = comparing && !document.hidden ? performance.now() : null;
  if (comparing) showComparison();
  if (session !== null) {
    byId("bar").max = session.comparisons.length;
    byId("bar").value = countAnswered(session);
    byId("as-text").value = JSON.stringify(session);
  }
  byId("progress").textContent = session === null ? "" : `${countAnswered(session)} of ${session.comparisons.length} answered`;
  if (done) byId("files").open = true;
  if (!focus) return;
  scrollTo(0, 0);
  byId(comparing ? "where" : done ? "done-title" : "consent-title").focus({ preventScroll: true });
}

function go(place) {
  if (!countSeconds()) return;
  if (keeps) complain("");
  at = place;
  show(true);
}

/** @param choice  id of a text; null: no difference */
function answer(choice) {
  if (performance.now() - shownAt < kDoubleTapMs || !countSeconds()) return;
  const { id } = session.comparisons[at];
  since = null;
  const goesOn = change((now) => {
    const one = now.comparisons.find((other) => other.id === id);
    if (!one) return;
    one.choice = choice;
    now.changes += 1;
  });
  if (!goesOn) return;
  say("");
  go(firstOpen(session));
}

function takeInText(text) {
  if (since !== null) countSeconds();
  const { session: taken, added, fault } = takeIn(text);
  if (fault) return complain(fault);
  since = null;
  session = taken;
  complain("");
  store();
  go(firstOpen(session));
  say(`${added} ${added === 1 ? "answer is" : "answers are"} taken over.`);
}

byId("agree").addEventListener("change", () => byId("begin").setAttribute("aria-disabled", !byId("agree").checked));
byId("begin").addEventListener("click", () => {
  if (!byId("agree").checked) return complain("Please read the text, and tick the box if you want to take part.");
  complain("");
  session = kept() ?? newSession();
  store();
  go(firstOpen(session));
});
byId("none").addEventListener("click", () => answer(null));
byId("back").addEventListener("click", () => at > 0 && go(at - 1));
byId("look-back").addEventListener("click", () => go(session.comparisons.length - 1));
byId("save").addEventListener("click", () => {
  if (!countSeconds()) return;
  const url = URL.createObjectURL(new Blob([JSON.stringify(session)], { type: "application/json" }));
  const link = element("a", "", { href: url, download: `answers-${session.rater}.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);  // the browser may still be reading it
  saved = session.changes;
  say(`Saved as ${link.download}, ${countAnswered(session)} answers.`);
});
byId("copy").addEventListener("click", async () => {
  if (!countSeconds()) return;
  byId("as-text").value = JSON.stringify(session);
  byId("as-text").select();
  try {
    await navigator.clipboard.writeText(byId("as-text").value);
    say("Copied.");
    saved = session.changes;
  } catch {
    say("The text is marked: copy it with the browser's own command.");
  }
});
byId("load").addEventListener("change", async () => {
  const [file] = byId("load").files;
  if (!file) return;
  takeInText(await file.text());
  byId("load").value = "";
});
byId("read-text").addEventListener("click", () => {
  takeInText(byId("load-text").value);
  byId("load-text").value = "";
});
byId("delete").addEventListener("click", () => {
  const unsaved = saved === session.changes ? "" : " They are not saved since the last change.";
  byId("sure-text").textContent = `Delete your ${countAnswered(session)} answers on this device?${unsaved}`;
  byId("sure").showModal();
});
byId("keep").addEventListener("click", () => byId("sure").close());
byId("really").addEventListener("click", () => {
  byId("sure").close();
  since = null;
  session = null;
  keep(null);
  byId("as-text").value = "";
  byId("agree").checked = false;
  byId("begin").setAttribute("aria-disabled", true);
  byId("files").open = false;
  show(true);
  say("Your answers are deleted on this device.");
});

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || byId("comparing").hidden || byId("sure").open) return;
  if (["INPUT", "TEXTAREA"].includes(event.target.tagName)) return;
  if (event.key === "Backspace" || event.key === "ArrowLeft") {
    if (at > 0) go(at - 1);
  } else if (event.key === "0") {
    answer(null);
  } else if (/^[1-9]$/.test(event.key) && session.comparisons[at].texts.length >= Number(event.key)) {
    answer(session.comparisons[at].texts[Number(event.key) - 1]);
  } else {
    return;
  }
  event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    countSeconds();
    since = null;
  } else if (!byId("comparing").hidden) {
    since = performance.now();
  }
});
addEventListener("pagehide", countSeconds);
addEventListener("storage", (event) => {  // another tab of the same study
  if (event.key !== kKept && event.key !== null) return;
  const before = session?.rater;
  session = kept();
  if (session !== null && (before !== session.rater || at >= session.comparisons.length)) at = firstOpen(session);
  show(false);
});

document.title = study.title;
byId("title").textContent = study.title;
byId("question").textContent = study.question;
byId("consent").textContent = study.consent;
byId("consent-missing").hidden = study.consent_filled;
if (session !== null) at = firstOpen(session);
show(false);
