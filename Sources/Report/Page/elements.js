"use strict";
// Making and finding elements. Whatever comes from a trace goes in as text: tokens and prompts may hold anything.

/** The element of this id; all of them are in page.html. */
function byId(id) {
  return document.getElementById(id);
}

/** An element with attributes and children; a child that is no element becomes text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Says on the page that something went wrong; each sentence once. */
function complain(sentence) {
  const box = byId("messages");
  if ([...box.children].some((each) => each.dataset.sentence === sentence)) return;
  const close = make("button", { type: "button", "aria-label": "Dismiss" }, "×");
  const message = make("p", { class: "message", "data-sentence": sentence }, make("span", {}, sentence), close);
  close.addEventListener("click", () => message.remove());
  box.append(message);
}

/** A number for a person: six significant digits at most; undefined is a dash. */
function shown(value, digits = 6) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(Math.min(digits, 4) - 1);
  return String(Number(value.toPrecision(digits)));
}

/** A number and how far it may be off, written no finer than that. */
function shownWithin(value, error) {
  if (error === 0 || Number.isNaN(value)) return shown(value);
  const places = Math.max(0, 1 - Math.floor(Math.log10(error)));
  return `${value.toFixed(places)} ± ${error.toFixed(places)}`;
}

/** Words of a quantity's name: absorption_top_key as "absorption top key". */
function words(name) {
  return name.replaceAll("_", " ");
}

/** Runs something once things have been quiet for a while. */
function whenQuiet(action, milliseconds) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}

/** A function that does what is to be done at once while an element is seen, else once it is seen, printed, or all is quiet. */
function whileSeen(element, action) {
  let isSeen = false;
  let isDue = false;
  const catchUp = () => {
    if (!isDue) return;
    isDue = false;
    action();
  };
  new IntersectionObserver((entries) => {
    isSeen = entries[entries.length - 1].isIntersecting;
    if (isSeen) catchUp();
  }, { rootMargin: "200px" }).observe(element);
  addEventListener("beforeprint", catchUp);
  const catchUpSoon = whenQuiet(catchUp, 200);
  return () => {
    isDue = true;
    if (isSeen) catchUp();
    else catchUpSoon();
  };
}

/** Runs something, at the earliest when the element nears the window, once. */
function whenNear(element, action) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((each) => each.isIntersecting)) return;
    observer.disconnect();
    action();
  }, { rootMargin: "600px" });
  observer.observe(element);
}
