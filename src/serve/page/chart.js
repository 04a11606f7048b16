// A small line in SVG.

import { makeSvg } from "./dom.js";

const kWidth = 320, kHeight = 110, kLeft = 38, kRight = 8, kTop = 8, kBottom = 20;

/**
 * @param points  [{x, y, low, high}], by x; `low` and `high` may be missing
 * @param range   {x: [from, to], y: [from, to]}
 * @param ticks   {x: [[value, text]], y: [[value, text]]}
 * @param label   what is to be seen, in words
 */
export function lineChart(points, range, ticks, label) {
  const scale = (value, [from, to], begin, end) => begin + (to > from ? (value - from) / (to - from) : 0.5) * (end - begin);
  const x = (value) => scale(value, range.x, kLeft, kWidth - kRight).toFixed(1);
  const y = (value) => scale(value, range.y, kHeight - kBottom, kTop).toFixed(1);
  const svg = makeSvg("svg", { viewBox: `0 0 ${kWidth} ${kHeight}`, class: "chart", role: "img", "aria-label": label });
  for (const [value, text] of ticks.y) {
    svg.append(
      makeSvg("line", { class: "grid", x1: kLeft, x2: kWidth - kRight, y1: y(value), y2: y(value) }),
      makeSvg("text", { x: kLeft - 5, y: Number(y(value)) + 4, "text-anchor": "end" }, text));
  }
  for (const [value, text] of ticks.x) {
    const at = Number(x(value));
    const anchor = at > kWidth - 40 ? "end" : at < kLeft + 10 ? "start" : "middle";
    svg.append(makeSvg("text", { x: at, y: kHeight - 5, "text-anchor": anchor }, text));
  }
  const banded = points.filter((point) => Number.isFinite(point.low) && Number.isFinite(point.high));
  if (banded.length > 1) {
    const outline = [...banded.map((point) => [point.x, point.high]), ...banded.toReversed().map((point) => [point.x, point.low])];
    svg.append(makeSvg("polygon", { class: "band", points: outline.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }));
  }
  svg.append(makeSvg("polyline", { class: "line", points: points.map((point) => `${x(point.x)},${y(point.y)}`).join(" ") }));
  const last = points.at(-1);
  if (last && banded.includes(last)) {
    svg.append(makeSvg("line", { class: "whisker", x1: x(last.x), x2: x(last.x), y1: y(last.low), y2: y(last.high) }));
  }
  if (last) svg.append(makeSvg("circle", { class: "dot", cx: x(last.x), cy: y(last.y), r: 3.5 }));
  return svg;
}
