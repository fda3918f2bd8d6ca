"use strict";
// Step, layer, head, trace: the bar of controls and the keys.

const PLAY_INTERVAL = 250;
const SCROLLING = new Set(["ArrowLeft", "ArrowRight", "Home", "End"]);

class Controls {
  constructor(context) {
    this.context = context;
    this.state = context.state;
    this.timer = 0;
    this.connect();
    this.fill();
    this.state.listen(["trace"], () => this.fill(), { evenWithoutSteps: true });
    this.state.listen(["trace", "step", "layer", "head", "follow", "scale", "stretch"], () => this.show());
    if (this.state.hasSteps) this.show();
  }

  get place() {
    return this.context.trace.steps.indexOf(this.state.step);
  }

  /** Goes to a place among the steps. */
  go(place) {
    const steps = this.context.trace.steps;
    this.state.set({ step: steps[Math.min(steps.length - 1, Math.max(0, place))] });
  }

  connect() {
    const on = (id, action) => byId(id).addEventListener("click", action);
    on("step-first", () => this.go(0));
    on("step-back", () => this.go(this.place - 1));
    on("step-on", () => this.go(this.place + 1));
    on("step-last", () => this.go(Infinity));
    on("play", () => this.play(!this.timer));
    on("unfollow", () => this.state.set({ follow: null }));
    on("help-open", () => byId("help").showModal());
    byId("step").addEventListener("input", (event) => this.go(Number(event.target.value)));
    byId("layer").addEventListener("change", (event) => this.state.set({ layer: Number(event.target.value) }));
    byId("head").addEventListener("change", (event) =>
      this.state.set({ head: event.target.value === "mean" ? "mean" : Number(event.target.value) }));
    byId("scale").addEventListener("change", (event) => this.state.set({ scale: event.target.value }));
    byId("stretch").addEventListener("change", (event) => this.state.set({ stretch: event.target.checked }));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  /** Fills the lists from the trace. */
  fill() {
    const { trace, page } = this.context;
    byId("step").max = trace.steps.length - 1;
    byId("layer").replaceChildren(...trace.layers.map((layer) => make("option", { value: layer }, String(layer))));
    byId("head").replaceChildren(make("option", { value: "mean" }, "mean over heads"),
      ...trace.heads.map((head) => make("option", { value: head }, String(head))));
    const choice = byId("trace-switch");
    choice.hidden = page.traces.length < 2;
    choice.replaceChildren(...page.traces.map((each, place) => this.traceChoice(each, place)));
  }

  traceChoice(trace, place) {
    const radio = make("input", { type: "radio", name: "trace", value: place });
    radio.checked = place === this.state.trace;
    radio.addEventListener("change", () => this.choose(place));
    return make("label", {}, radio, make("bdi", {}, trace.name), make("span", { class: "quiet" }, ` ${trace.model}`));
  }

  /** Looks at another trace, at the same step, layer and head where it has them. */
  choose(trace) {
    const of = this.context.page.traces[trace];
    const { step, layer, head, follow } = this.state;
    this.play(false);
    this.state.set({
      trace,
      step: of.steps.includes(step) ? step : of.steps[of.steps.length - 1],
      layer: of.layers.includes(layer) ? layer : of.layers[0],
      head: of.heads.includes(head) ? head : "mean",
      follow: follow !== null && follow < of.positions ? follow : null,
    });
  }

  show() {
    const { trace } = this.context;
    const { step, layer, head, follow } = this.state;
    const slider = byId("step");
    slider.value = this.place;
    slider.setAttribute("aria-valuetext", `step ${step}, ${this.place + 1} of ${trace.steps.length}`);
    byId("step-value").textContent = `${step} of ${trace.steps[trace.steps.length - 1]}`;
    byId("layer").value = layer;
    byId("head").value = head;
    byId("scale").value = this.state.scale;
    byId("stretch").checked = this.state.stretch;
    byId("unfollow").hidden = follow === null;
    byId("following").replaceChildren(follow === null ? "No token followed"
      : make("span", { class: "mark-text" }, `▣ following ${follow} `, make("bdi", {}, visible(finalText(trace, follow)))));
  }

  play(isOn) {
    clearInterval(this.timer);
    this.timer = 0;
    const last = this.context.trace.steps.length - 1;
    if (isOn) {
      if (this.place === last) this.go(0);
      this.timer = setInterval(() => (this.place === last ? this.play(false) : this.go(this.place + 1)), PLAY_INTERVAL);
    }
    const button = byId("play");
    button.textContent = isOn ? "❚❚" : "▶\uFE0E";
    button.setAttribute("aria-label", isOn ? "Pause" : "Play");
    button.setAttribute("aria-pressed", String(isOn));
  }

  /** Moves in a list, stopping at its ends. */
  move(list, value, by) {
    return list[Math.min(list.length - 1, Math.max(0, list.indexOf(value) + by))];
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    if (!this.state.hasSteps && event.key !== "?") return;
    // What scrolls keeps the keys that scroll it.
    if (SCROLLING.has(event.key) && event.target.closest(".table-scroll, .prompt")) return;
    const tag = event.target.tagName;
    const isSlider = event.target === byId("step");
    if (tag === "SELECT" || tag === "TEXTAREA" || (tag === "INPUT" && event.target.type !== "checkbox" && !isSlider)) return;
    const { trace } = this.context;
    const { state } = this;
    const by = event.shiftKey ? 10 : 1;
    const heads = ["mean", ...trace.heads];
    const actions = {
      ArrowLeft: () => this.go(this.place - by),
      ArrowRight: () => this.go(this.place + by),
      Home: () => this.go(0),
      End: () => this.go(Infinity),
      "[": () => state.set({ layer: this.move(trace.layers, state.layer, -1) }),
      "]": () => state.set({ layer: this.move(trace.layers, state.layer, 1) }),
      ",": () => state.set({ head: this.move(heads, state.head, -1) }),
      ".": () => state.set({ head: this.move(heads, state.head, 1) }),
      m: () => state.set({ head: "mean" }),
      p: () => this.play(!this.timer),
      Escape: () => state.set({ follow: null }),
      "?": () => byId("help").showModal(),
    };
    if (!actions[event.key]) return;
    actions[event.key]();
    event.preventDefault();
  }
}
