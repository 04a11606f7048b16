// Scores of whole replies: of a pair, and along a text.

import { ask } from "./api.js";
import { lineChart } from "./chart.js";
import { byId, make, number } from "./dom.js";
import { modelName, scoringHeads } from "./heads.js";

const kPieces = 40;  // of a text at most, each is a text to be evaluated

async function scoresOf(prompt, replies) {
  const answer = await ask("POST", "/v1/score", { model: `${modelName()}+${byId("scoring-head").value}`, text_1: prompt, text_2: replies });
  const scores = new Array(replies.length).fill(null);
  for (const { index, score } of answer.data) scores[index] = score;
  return scores;
}

/** The text in pieces that end where words do. */
function piecesOf(text) {
  const words = text.match(/\s*\S+\s*$|\s*\S+/g) ?? [];
  const size = Math.ceil(words.length / kPieces);
  const pieces = [];
  for (let i = 0; i < words.length; i += size) pieces.push(words.slice(i, i + size).join(""));
  return pieces;
}

/** The score at the end of each piece of a reply, as underlined text and a line. @throws ApiError */
export async function scoreAlong(prompt, text) {
  const pieces = piecesOf(text);
  const scores = await scoresOf(prompt, pieces.map((_, i) => pieces.slice(0, i + 1).join("").trim()));
  const points = scores.map((score, i) => ({ x: i + 1, y: score })).filter(({ y }) => Number.isFinite(y));
  if (points.length === 0) return make("p", { class: "note" }, "The head has no score for this text.");
  const values = points.map(({ y }) => y);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const underlined = make("p", { class: "text", dir: "auto" });
  pieces.forEach((piece, i) => {
    const span = make("span", { class: "scored", title: `score ${number(scores[i])}` }, piece);
    span.style.setProperty("--share", `${Math.round(high > low ? (100 * (scores[i] - low)) / (high - low) : 50)}%`);
    underlined.append(span);
  });
  const label = `Score by ${byId("scoring-head").value} along the text: from ${number(values[0])} to ${number(values.at(-1))}, `
    + `lowest ${number(low)}, highest ${number(high)}.`;
  const range = { x: [1, pieces.length], y: [low, high] };
  const ticks = { x: [[1, "begin"], [pieces.length, "end"]], y: [...new Set([low, high])].map((y) => [y, number(y, 1)]) };
  return make("figure", { class: "along" }, underlined, points.length > 1 ? lineChart(points, range, ticks, label) : null,
    make("figcaption", { class: "note" }, `${label} Blue is high, orange low, within this text; `
      + "of the conversation the head reads the last message alone."));
}

/** Whether there is a head that can score. */
export function canScore() {
  return scoringHeads().length > 0;
}

async function scorePair(event) {
  event.preventDefault();
  const result = byId("pair-result");
  result.textContent = "Scoring …";
  try {
    const [first, second] = await scoresOf(byId("pair-prompt").value, [byId("pair-first").value, byId("pair-second").value]);
    if (!Number.isFinite(first) || !Number.isFinite(second)) {
      result.textContent = "The head has no score for one of them.";
      return;
    }
    const better = first === second ? "They are equal" : `The ${first > second ? "first" : "second"} is better by ${number(Math.abs(first - second))}`;
    result.textContent = `${better}: ${number(first)} and ${number(second)}.`;
  } catch (error) {
    result.textContent = error.message;
  }
}

export function startScorer() {
  byId("pair-form").addEventListener("submit", scorePair);
}
