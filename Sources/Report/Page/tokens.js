"use strict";
// Tokens as a person can read them.

const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Cn}\p{Co}]/gu;

/** Text with everything that cannot be seen made visible: spaces, line breaks, controls, marks of direction. */
function visible(text) {
  return text
    .replaceAll(" ", "·").replaceAll("\n", "↵").replaceAll("\t", "⇥")
    .replace(UNSEEN, (each) => `⟨${each.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** The same, at most so many characters, and kept apart from the direction of what stands around it, for a canvas. */
function label(text, length = 10) {
  const characters = [...visible(text)];
  const short = characters.length > length ? [...characters.slice(0, length - 1), "…"] : characters;
  return `\u2068${short.join("")}\u2069`;
}

/** What stood at each position of a trace, step by step. */
class Words {
  constructor(trace, timeline) {
    this.trace = trace;
    this.width = trace.positions;
    this.timeline = timeline;
    this.rows = new Map(trace.blocks.timeline.steps.map((step, row) => [step, row]));
  }

  /** The step whose text is shown for one: the nearest kept at or before it. Tokens of a causal trace stay as they are. */
  stepShown(step) {
    return this.trace.causal ? step : atOrBefore(this.trace.blocks.timeline.steps, step);
  }

  /** Says that the text is of another step, where it is; else "". */
  remark(step, what) {
    const shownStep = this.stepShown(step);
    return shownStep === step ? "" : `The page keeps no text of step ${step}; ${what} of step ${shownStep}.`;
  }

  /** Place of a position at a step in the arrays of the timeline; -1 where the timeline has none. */
  place(step, position) {
    const row = this.rows.get(this.stepShown(step));
    return row === undefined || position >= this.timeline.fed.shape[1] ? -1 : row * this.timeline.fed.shape[1] + position;
  }

  isMasked(step, position) {
    const place = this.place(step, position);
    return place >= 0 && this.timeline.masked.values[place] === 1;
  }

  /** Text of an id. */
  text(id) {
    return this.trace.vocabulary[id] ?? `#${id}`;
  }

  /** What was fed in: its text, "▒" for the mask, "" where a causal run had not come yet. */
  fed(step, position) {
    const place = this.place(step, position);
    if (place < 0) return this.trace.tokens[position]?.text ?? "";
    if (this.timeline.masked.values[place] === 1) return "▒";
    const id = this.timeline.fed.values[place];
    return id < 0 ? "" : this.text(id);
  }

  /** What the model would put there and how surely; null where it was not asked. */
  guess(step, position) {
    const place = this.place(step, position);
    if (place < 0 || this.timeline.predicted.values[place] < 0) return null;
    return { text: this.text(this.timeline.predicted.values[place]), confidence: this.timeline.confidence.values[place] };
  }
}

/** Text of a position as it ended. */
function finalText(trace, position) {
  return trace.tokens[position]?.text ?? "";
}
