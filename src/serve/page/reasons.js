// Which lessons speak for a reply, by the curvature of the program that they are solved by.

import { ask } from "./api.js";
import { make, number } from "./dom.js";

const kShown = 3;  // lessons of either kind

function shortened(text, most = 90) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

function signed(value) {
  return `${value < 0 ? "−" : "+"}${number(Math.abs(value), 3)}`;
}

function lessonItem({ influence, prompt, chosen, rejected, response, label }) {
  const question = Array.isArray(prompt) ? prompt.at(-1)?.content ?? "" : "";
  const said = chosen === undefined
    ? [make("q", {}, shortened(response)), label > 0 ? " is good" : " is bad"]
    : [make("q", {}, shortened(chosen)), " rather than ", make("q", {}, shortened(rejected))];
  return make("li", {}, make("strong", {}, signed(influence)), " ", ...said,
    question ? make("span", { class: "note" }, ` to “${shortened(question, 60)}”`) : null);
}

function list(title, lessons) {
  return lessons.length === 0 ? [] : [make("p", { class: "note" }, title), make("ul", {}, ...lessons.map(lessonItem))];
}

/** The lessons that speak most for a reply and against it.
 *  @param other  the reply that it is compared with, null: none
 *  @throws ApiError */
export async function reasonsFor(messages, reply, other) {
  const found = await ask("POST", "/v1/feedback/influence",
    { messages, response: reply.text, than: other?.text, count: kShown });
  const asked = other === null ? "this reply" : `this reply rather than the ${other.title === reply.title ? "other" : other.title.toLowerCase()} one`;
  const label = `By ${number(found.lessons)} lesson${found.lessons === 1 ? "" : "s"} the log-odds of ${asked} are `
    + `${signed(found.log_odds)}. Without a lesson they would be less by its number.`;
  return make("figure", { class: "reasons" }, ...list("Lessons that speak for it", found.raise),
    ...list("Lessons that speak against it", found.lower), make("figcaption", { class: "note" }, label));
}
