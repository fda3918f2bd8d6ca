"use strict";
// The text as it was unmasked: a chip for each token.

class TextView {
  constructor(context) {
    this.context = context;
    this.state = context.state;
    this.body = byId("text-body");
    this.words = null;
    this.state.listen(["trace"], () => this.build());
    this.updateSeen = whileSeen(byId("text"), () => this.update());
    this.state.listen(["trace", "step"], () => this.updateSeen());
    this.state.listen(["follow"], () => this.mark());
    theme.listen(() => this.colour());
    this.body.addEventListener("pointerover", (event) => {
      const chip = event.target.closest("button[data-position]");
      if (chip) chip.title = chip.getAttribute("aria-label");
    });
    this.body.addEventListener("click", (event) => {
      const chip = event.target.closest("button[data-position]");
      if (chip) this.follow(Number(chip.dataset.position));
    });
  }

  follow(position) {
    this.state.set({ follow: this.state.follow === position ? null : position });
  }

  /** Makes the chips; what changes by step is put in by update(). */
  build() {
    const { trace } = this.context;
    this.chips = trace.tokens.map((token, position) => this.chip(token, position));
    const part = (title, from, to) => make("div", { class: "text-part" }, make("h3", {}, title), this.flow(from, to));
    byId("text-lead").textContent = trace.causal
      ? "Each token by the step that generated it; what had not come yet is a box. The small figure is the step."
      : "Each token by the step that unmasked it (the small figure, and the colour). A dashed box is still masked: faint in "
        + "it is what the model would put there, the bar below how surely. A thick border: unmasked at this step.";
    this.body.replaceChildren(part("Prompt", 0, trace.promptLength), part("Generated", trace.promptLength, trace.positions));
    this.colour();
    this.mark();
  }

  /** Chips in reading order, under the regions that they belong to. */
  flow(from, to) {
    const { trace } = this.context;
    const box = make("div", { class: "flow" });
    let region = null;
    let into = box;
    for (let position = from; position < to; position++) {
      const token = trace.tokens[position];
      if (trace.regions.length && (token.region !== region || position === from)) {
        region = token.region;
        into = this.regionBox(region);
        box.append(into);
      }
      into.append(this.chips[position].element);
      if (token.text.includes("\n")) into.append(make("span", { class: "break" }));
    }
    if (from === to) box.append(make("p", { class: "quiet" }, "none"));
    return box;
  }

  regionBox(region) {
    if (region === null) return make("div", { class: "region none" });
    const { name, kind, gold } = this.context.trace.regions[region];
    return make("div", { class: gold ? "region gold" : "region" },
      make("span", { class: "region-name" }, make("bdi", {}, name), kind && kind !== name ? ` (${kind})` : "", gold ? " ★ evidence" : ""));
  }

  chip(token, position) {
    const text = make("bdi", { class: "final" }, visible(token.text) || "∅");
    const guess = make("bdi", { class: "guess", "aria-hidden": "true" });
    const sure = make("span", { class: "sure", "aria-hidden": "true" });
    const step = token.unmaskStep >= 0 ? make("span", { class: "when", "aria-hidden": "true" }, String(token.unmaskStep)) : "";
    const element = make("button", { type: "button", class: "chip", "data-position": position }, text, guess, sure, step);
    return { element, guess, sure, last: "" };
  }

  /** Colours by the step of unmasking; ink that can be read on each. */
  colour() {
    if (!this.chips || !this.state.hasSteps) return;
    const { trace } = this.context;
    const last = Math.max(1, trace.steps[trace.steps.length - 1]);
    const scale = new Scale("linear", -0.08 * last, 1.45 * last);
    trace.tokens.forEach((token, position) => {
      const style = this.chips[position].element.style;
      style.setProperty("--chip", token.unmaskStep >= 0 ? scale.css(token.unmaskStep) : "transparent");
      style.setProperty("--chip-ink", token.unmaskStep >= 0 ? scale.inkOn(token.unmaskStep) : "var(--ink)");
    });
    const steps = [0, 0.25, 0.5, 0.75, 1].map((part) => Math.round(part * trace.steps[trace.steps.length - 1]));
    byId("text-legend").replaceChildren(trace.causal ? "generated at step" : "unmasked at step", ...[...new Set(steps)].map((step) => {
      const swatch = make("span", { class: "swatch" }, String(step));
      swatch.style.background = scale.css(step);
      swatch.style.color = scale.inkOn(step);
      return swatch;
    }));
  }

  /** Puts each chip into its state at the step; only what differs is touched. */
  update() {
    if (!this.words || !this.chips) return;
    const { trace } = this.context;
    const step = this.words.stepShown(this.state.step);
    byId("text-notes").textContent = this.words.remark(this.state.step, "this is the text");
    this.chips.forEach((chip, position) => {
      const [kind, guess] = this.stateAt(trace, step, position);
      const shownNow = `${kind} ${guess ? guess.text + guess.confidence : ""}`;
      if (shownNow === chip.last) return;
      chip.last = shownNow;
      chip.element.classList.remove("masked", "now", "absent");
      if (kind !== "there") chip.element.classList.add(kind);
      chip.guess.textContent = kind === "masked" && guess ? visible(guess.text) : "";
      chip.sure.style.setProperty("--sure", guess && kind === "masked" ? guess.confidence : 0);
      const said = { there: "", now: "unmasked now", masked: "masked", absent: "not yet there" }[kind];
      const token = trace.tokens[position];
      const name = kind === "masked" || kind === "absent" ? "" : `${visible(token.text)}, `;
      const expects = kind === "masked" && guess ? `, would be ${visible(guess.text)} with ${shown(guess.confidence, 3)}` : "";
      const came = token.unmaskStep >= 0 ? `, unmasked at step ${token.unmaskStep}` : "";
      const sentence = `${name}position ${position}${said ? `, ${said}` : ""}${expects}${came}`;
      chip.element.setAttribute("aria-label", sentence);
    });
  }

  /** "there", "now" (unmasked at this step), "masked" or "absent" (causal: not yet), and the model's guess. */
  stateAt(trace, step, position) {
    const { unmaskStep } = trace.tokens[position];
    if (unmaskStep === step) return ["now", null];
    if (trace.causal) return [unmaskStep > step ? "absent" : "there", null];
    if (!this.words.isMasked(step, position)) return ["there", null];
    return ["masked", this.words.guess(step, position)];
  }

  mark() {
    this.chips?.forEach((chip, position) => {
      const isFollowed = position === this.state.follow;
      if (chip.element.classList.contains("followed") === isFollowed && chip.element.hasAttribute("aria-pressed")) return;
      chip.element.classList.toggle("followed", isFollowed);
      chip.element.setAttribute("aria-pressed", String(isFollowed));
    });
  }
}
