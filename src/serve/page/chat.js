// The conversation: what is asked, the replies as they are written, and what can be said of them.

import { ApiError, ask, stream } from "./api.js";
import { byId, complain, make, number, say, thumb } from "./dom.js";
import { modelName, scales } from "./heads.js";
import { reasonsFor } from "./reasons.js";
import { canScore, scoreAlong } from "./score.js";
import { teach, teaches } from "./teach.js";

let turns = [];          // [{prompt, messages, replies, chosen}], of `replies` [{title, heads, seed, text, ...}]
let writing = null;      // AbortController of the replies that are being written

function setting(id) {
  const value = byId(id).value.trim();
  return value === "" ? undefined : Number(value);
}

/** What is sent for the next turn: the chosen reply of each turn is the one that was said. */
function conversation(prompt) {
  const messages = [];
  const system = byId("system").value.trim();
  if (system) messages.push({ role: "system", content: system });
  for (const turn of turns.filter(({ chosen }) => chosen?.text)) {
    messages.push({ role: "user", content: turn.prompt }, { role: "assistant", content: turn.chosen.text });
  }
  return [...messages, { role: "user", content: prompt }];
}

/** The replies to draw, the first one is gone on with unless another is chosen.
 *  @param telling  whether there are to be two to choose from in any case */
function plan(telling) {
  const heads = scales();
  const seed = setting("seed") ?? crypto.getRandomValues(new Uint32Array(1))[0] % 2 ** 31;
  const guided = { title: Object.keys(heads).length ? "Guided" : "Unguided", heads, seed };
  const other = { ...guided, seed: seed + 1 };
  const layout = byId("layout").value;
  if (telling) return [guided, { ...guided }];
  if (layout === "one") return [guided];
  if (layout === "two") return [guided, other];
  if (guided.title === "Guided") return [guided, { title: "Unguided", heads: {}, seed }];
  return teaches() ? [guided, other] : [guided];  // the first lessons need two to choose from
}

function setWriting(controller) {
  writing = controller;
  byId("stop").hidden = controller === null;
  byId("send").setAttribute("aria-disabled", String(controller !== null));
}

/** The request for a reply. */
function wanted(turn, reply) {
  return { model: modelName(), messages: turn.messages, heads: reply.heads, seed: reply.seed,
    temperature: setting("temperature"), max_tokens: setting("max-tokens") };
}

const kDrawn = 6;  // replies of which two are shown

/** Draws several replies, and fills in the two whose comparison would teach most. */
async function writeTelling(turn, signal) {
  const [first] = turn.replies;
  try {
    const answer = await ask("POST", "/v1/chat/completions", { ...wanted(turn, first), n: kDrawn }, signal);
    const choices = answer.choices.filter(({ message }) => message.content.trim());
    if (new Set(choices.map(({ message }) => message.content)).size < 2) {
      throw new ApiError(0, `${kDrawn} replies were drawn, and no two differ: there is nothing to compare. A higher temperature helps.`);
    }
    const next = await ask("POST", "/v1/feedback/next",
      { candidates: [{ messages: turn.messages, replies: choices.map(({ message }) => message.content) }] }, signal);
    next.replies.forEach((place, i) => {
      const { message } = choices[place];
      const reply = turn.replies[i];
      if (message.reasoning_content) think(reply, message.reasoning_content);
      append(reply, message.content);
    });
    const facts = `one of ${kDrawn} · your answer tells ${number(next.information_bits)} bits`;
    turn.replies.forEach((reply) => (reply.facts.textContent = facts));
  } catch (error) {
    for (const reply of turn.replies) {
      reply.error = error.name === "AbortError" ? undefined : error.message;
      if (reply.error && reply === first) reply.body.after(make("p", { role: "alert", class: "error" }, error.message));
      reply.facts.textContent = reply.error ? "" : "stopped";
    }
  }
  for (const reply of turn.replies) reply.body.setAttribute("aria-busy", "false");
}

async function write(turn, reply, signal) {
  const body = wanted(turn, reply);
  const start = performance.now();
  try {
    for await (const chunk of stream("/v1/chat/completions", body, signal)) {
      const choice = chunk.choices?.[0];
      if (choice?.delta?.content) append(reply, choice.delta.content);
      if (choice?.delta?.reasoning_content) think(reply, choice.delta.reasoning_content);
      if (choice?.finish_reason) reply.end = choice.finish_reason;
      if (chunk.usage) reply.tokens = chunk.usage.completion_tokens;
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      reply.error = error.message;
      reply.body.after(make("p", { role: "alert", class: "error" }, error.message));
    }
    reply.end = "stopped";
  }
  const seconds = (performance.now() - start) / 1000;
  reply.body.setAttribute("aria-busy", "false");
  reply.facts.textContent = [`seed ${reply.seed}`, reply.tokens ? `${number(reply.tokens)} tokens in ${number(seconds, 1)} s` : "",
    { length: "cut at the limit of tokens", stopped: "stopped" }[reply.end] ?? ""].filter(Boolean).join(" · ");
}

function append(reply, text) {
  reply.text += text;
  reply.body.textContent = reply.text;
}

function think(reply, text) {
  if (!reply.thoughts) {
    reply.thoughts = make("p", { class: "text", dir: "auto" });
    reply.body.before(make("details", {}, make("summary", {}, "Thoughts"), reply.thoughts));
  }
  reply.thoughts.append(text);
}

function card(reply) {
  const named = Object.entries(reply.heads).map(([name, scale]) => `${name} ${scale.toFixed(1)}`).join(", ");
  reply.text = "";
  reply.body = make("div", { class: "text", dir: "auto", "aria-live": "polite", "aria-busy": "true" });
  reply.facts = make("p", { class: "note" });
  reply.mark = make("span", { class: "note" });
  reply.actions = make("div", { class: "row actions" });
  reply.card = make("article", { class: `reply ${reply.title.toLowerCase()}`, "aria-label": `${reply.title} reply` },
    make("h4", {}, make("span", { class: "badge" }, reply.title), named ? make("span", { class: "note" }, named) : null, reply.mark),
    reply.body, reply.facts, reply.actions);
  return reply.card;
}

/** A button that acts once until released, keeps the focus meanwhile and says what it has done by being pressed. */
function once(content, action) {
  const button = make("button", { type: "button", "aria-pressed": "false" }, ...content);
  button.release = () => {
    button.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-disabled", "false");
  };
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    complain("");
    try {
      await action(button);
    } catch (error) {
      button.release();
      say("");
      complain(error.message);
    }
  });
  return button;
}

/** Buttons of one question, of which one can be pressed: all wait until its lesson is taken back. */
function alternatives(choices) {
  const buttons = choices.map(({ content, lesson, before }) => once(content, async (pressed) => {
    before?.();
    for (const button of buttons) button.setAttribute("aria-disabled", "true");
    pressed.setAttribute("aria-pressed", "true");
    const release = () => buttons.forEach((button) => button.release());
    try {
      await teach(lesson(), release);
    } catch (error) {
      release();
      throw error;
    }
  }));
  return buttons;
}

function choose(turn, reply) {
  turn.chosen = reply;
  if (turn.replies.length < 2) return;
  for (const one of turn.replies) {
    one.card.classList.toggle("chosen", one === reply);
    one.mark.textContent = one === reply ? "the conversation goes on with it" : "";
  }
}

/** The buttons below the replies of a turn, once they are written. */
function offer(turn) {
  const replies = turn.replies.filter(({ text }) => text.trim());
  const [first, second] = replies;
  const differ = replies.length === 2 && first.text !== second.text;
  if (differ && teaches()) {
    const better = alternatives([[first, second], [second, first]].map(([chosen, rejected]) => ({
      content: ["This one is better"],
      lesson: () => ({ messages: turn.messages, chosen: chosen.text, rejected: rejected.text }),
      before: () => choose(turn, chosen),
    })));
    replies.forEach((reply, i) => reply.actions.append(better[i]));
  } else if (differ) {
    const buttons = replies.map((reply) => make("button", { type: "button", "aria-pressed": String(reply === turn.chosen), on: {
      click: (event) => {
        choose(turn, reply);
        for (const button of buttons) button.setAttribute("aria-pressed", String(button === event.currentTarget));
      },
    } }, "Go on with this one"));
    replies.forEach((reply, i) => reply.actions.append(buttons[i]));
  }
  for (const reply of replies) {
    if (teaches()) {
      reply.actions.append(...alternatives([["Good", 1, "up"], ["Bad", -1, "down"]].map(([name, rating, way]) => ({
        content: [make("span", { class: way }, thumb()), name],
        lesson: () => ({ messages: turn.messages, response: reply.text, rating }),
      }))), make("button", { type: "button", on: { click: () => edit(turn, reply) } }, "Edit"),
        reasonsButton(turn, reply, differ ? replies.find((one) => one !== reply) : null));
    }
    if (canScore()) {
      reply.actions.append(once(["Score along"], (button) => showScore(turn, reply, button)));
    }
  }
}

/** Puts the text with its score along in the place of the text, and back. */
async function showScore(turn, reply, button) {
  if (hideScore(reply)) return;
  say("Scoring …");
  reply.along = await scoreAlong(turn.prompt, reply.text);
  reply.alongButton = button;
  reply.body.after(reply.along);
  reply.body.hidden = true;
  button.release();
  button.setAttribute("aria-pressed", "true");
  say("");
}

/** A button that shows the lessons that speak for a reply below it, and takes them away. */
function reasonsButton(turn, reply, other) {
  let looking = false;
  const button = make("button", { type: "button", "aria-expanded": "false", on: { click: async () => {
    if (looking) return;
    complain("");
    if (hideReasons(reply)) return;
    looking = true;
    say("Looking at the lessons …");
    try {
      reply.reasons = await reasonsFor(turn.messages, reply, other);
      reply.actions.after(reply.reasons);
      button.setAttribute("aria-expanded", "true");
    } catch (error) {
      complain(error.message);
    }
    say("");
    looking = false;
  } } }, "Why?");
  reply.reasonsButton = button;
  return button;
}

/** Whether there were any. */
function hideReasons(reply) {
  if (!reply.reasons) return false;
  reply.reasons.remove();
  reply.reasons = null;
  reply.reasonsButton.setAttribute("aria-expanded", "false");
  return true;
}

/** Whether there was one. */
function hideScore(reply) {
  if (!reply.along) return false;
  reply.along.remove();
  reply.along = null;
  reply.alongButton.release();
  reply.body.hidden = false;
  return true;
}

/** Lets the user write the reply as it should be, which is better than the one that was written. */
function edit(turn, reply) {
  if (reply.card.querySelector("form")) return;
  hideScore(reply);
  const field = make("textarea", { rows: 6, dir: "auto", "aria-label": "The reply as it should be" });
  field.value = reply.text;
  const close = () => {
    form.remove();
    reply.body.hidden = false;
    [...reply.actions.children].find((button) => button.textContent === "Edit")?.focus();
  };
  let teaching = false;
  const form = make("form", { on: {
    submit: async (event) => {
      event.preventDefault();
      if (teaching) return;
      const [chosen, rejected] = [field.value.trim(), reply.text];
      complain("");
      if (!chosen || chosen === rejected.trim()) return close();
      const put = (text) => {
        hideScore(reply);
        hideReasons(reply);
        reply.text = text;
        reply.body.textContent = text;
      };
      teaching = true;
      try {
        await teach({ messages: turn.messages, chosen, rejected }, () => put(rejected));
        put(chosen);
        choose(turn, reply);
        close();
      } catch (error) {
        say("");
        complain(error.message);
      } finally {
        teaching = false;
      }
    },
    keydown: (event) => event.key === "Escape" && (event.stopPropagation(), close()),
  } }, field, make("div", { class: "row" }, make("button", { type: "submit", class: "main" }, "Teach this"),
    make("button", { type: "button", on: { click: close } }, "Cancel")));
  reply.body.hidden = true;
  reply.body.after(form);
  field.setSelectionRange(0, 0);  // a long reply is read from its beginning
  field.focus();
}

/** @param telling  whether the two replies are to be those that teach most */
async function send(telling = false) {
  const prompt = byId("prompt").value.trim();
  if (!prompt || writing) return;
  complain("");
  const invalid = [...byId("settings").querySelectorAll("input")].find((input) => !input.checkValidity());
  if (invalid) {
    byId("settings").open = true;
    invalid.reportValidity();
    return;
  }
  const turn = { prompt, messages: conversation(prompt), replies: plan(telling), chosen: null };
  turns.push(turn);
  byId("empty").hidden = true;
  byId("prompt").value = "";
  const item = make("li", {}, make("div", { class: "said" }, make("h3", { class: "unseen" }, "You"), make("p", { class: "text", dir: "auto" }, prompt)),
    make("div", { class: "replies" }, ...turn.replies.map(card)));
  byId("turns").append(item);
  item.scrollIntoView({ block: "start" });
  say("Writing …");
  const controller = new AbortController();
  setWriting(controller);
  if (telling) {
    await writeTelling(turn, controller.signal);
  } else {
    await Promise.all(turn.replies.map((reply) => write(turn, reply, controller.signal)));
  }
  if (writing === controller) setWriting(null);
  if (!turns.includes(turn)) return;  // a new conversation has begun meanwhile
  choose(turn, turn.replies.find(({ text }) => text.trim()) ?? null);
  offer(turn);
  if (!turn.chosen && !byId("prompt").value) byId("prompt").value = prompt;  // to try again
  const failed = turn.replies.some(({ error }) => error);
  say(failed ? "" : controller.signal.aborted ? "Stopped." : turn.replies.length > 1 ? "Both replies are there." : "The reply is there.");
}

function stop() {
  writing?.abort();
}

export function startChat() {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  byId("prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && stop());
  byId("telling").addEventListener("click", () => send(true));
  byId("stop").addEventListener("click", () => {
    stop();
    byId("prompt").focus();  // the button goes away
  });
  byId("fresh").addEventListener("click", () => {
    stop();
    turns = [];
    byId("turns").replaceChildren();
    byId("empty").hidden = false;
    say("");
    byId("prompt").focus();
  });
}
