// Elements: found, made, and filled with text, which never becomes markup.

const kSvg = "http://www.w3.org/2000/svg";

/** The element of index.html with this id. */
export function byId(id) {
  return document.getElementById(id);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A new element; `on` of the attributes holds handlers by event; strings among the children become text. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(kSvg, tag), attributes, children);
}

/** A thumb that points up; page.css turns the other one round. */
export function thumb() {
  return makeSvg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" },
    makeSvg("path", { d: "M2 10h4v11H2zM8 10l4-8c2 0 3.2 1.6 2.7 4L14 9h6c1.4 0 2.1 1 1.8 2.3l-1.7 8c-.2 1-1 1.7-2 1.7H8z" }));
}

/** What a reader of the screen hears, and is seen below the prompt. */
export function say(text) {
  byId("status").textContent = text;
}

/** What went wrong, at the top of the page; empty: nothing any more. */
export function complain(text) {
  byId("alert").textContent = text;
  byId("alert").hidden = !text;
}

export function number(value, digits = 2) {
  return Number(value).toLocaleString("en", { maximumFractionDigits: digits });
}

/** "80 %", and with an interval "80 % [50, 95]". */
export function percent(value, low, high) {
  const hundred = (share) => String(Math.round(100 * share));
  const interval = Number.isFinite(low) && Number.isFinite(high) ? ` [${hundred(low)}, ${hundred(high)}]` : "";
  return `${hundred(value)} %${interval}`;
}
