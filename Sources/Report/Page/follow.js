"use strict";
// One token, followed: what it receives at each step, in the layer looked at and in all.

class Follow {
  constructor(context) {
    this.context = context;
    this.state = context.state;
    this.box = byId("follow");
    this.heading = make("h3");
    this.facts = make("p", { class: "notes" });
    const byLayer = make("figure", {}, make("p", { class: "figure-title" }, "Received mean, by layer (row) and step (column); click chooses both"));
    const lines = make("div");
    this.box.append(this.heading, this.facts, lines, byLayer);
    this.lineBox = lines;
    this.map = new HeatMap(byLayer, {
      label: "What the followed token receives, by layer and step", cellHeight: 14, maxHeight: 260, leftMargin: 26,
      onChoose: ({ column, row }) => this.go(column, row),
      onPoint: (cell) => this.read(cell),
    });
    this.readout = make("p", { class: "notes", "aria-live": "polite" });
    byLayer.append(this.readout);
    this.state.listen(["trace", "follow", "layer", "head"], () => this.update());
    this.state.listen(["step"], () => this.mark());
  }

  get kept() {
    return this.context.trace.blocks.received;
  }

  go(column, row) {
    const changes = {};
    if (column !== null) changes.step = this.kept.steps[column];
    if (row !== null) changes.layer = this.kept.layers[row];
    this.state.set(changes);
  }

  update() {
    const { trace } = this.context;
    const { follow } = this.state;
    this.box.hidden = follow === null;
    if (follow === null) return;
    this.heading.replaceChildren(make("span", { class: "mark-text" }, "▣ "), "Following ",
      make("bdi", { class: "token" }, visible(finalText(trace, follow))), ` at ${follow}`);
    this.facts.textContent = this.describe(trace, follow);
    this.content = null;
    if (!this.kept) return;
    const cell = Math.floor(follow / this.kept.keySpan);
    const wanted = `${this.state.trace} ${follow} ${this.state.layer} ${this.state.head}`;
    this.wanted = wanted;
    const heads = this.kept.layers.map((layer) => this.context.block(this.context.receivedPath(layer)));
    this.context.load(Promise.all(heads), () => this.wanted === wanted, (blocks) => this.show(blocks, cell));
  }

  describe(trace, position) {
    const token = trace.tokens[position];
    const region = token.region === null ? "" : ` Region ${trace.regions[token.region].name}.`;
    const came = position < trace.promptLength ? "A token of the prompt."
      : token.unmaskStep === -1 ? "Generated; at which step is not recorded." : token.unmaskStep === -2 ? "Never unmasked."
      : trace.causal ? `Generated at step ${token.unmaskStep}.` : `Unmasked at step ${token.unmaskStep}.`;
    return came + region;
  }

  show(blocks, cell) {
    const { trace } = this.context;
    const { keySpan, layers, steps } = this.kept;
    const isCoded = blocks.some((block) => block.received.peak);
    this.peaks = blocks.map((block) => block.received.peak);
    this.facts.textContent = `${this.describe(trace, this.state.follow)} ${this.sinkSteps(blocks, cell)}`;
    const rows = blocks.map((block) => {
      const width = block.received.shape[1];
      return steps.map((_, step) => (cell < width ? block.received.values[step * width + cell] : NaN));
    });
    const head = this.context.receivedPath().split("/").length > 2 ? `head ${this.state.head}` : "mean over heads";
    const chosen = Math.max(0, layers.indexOf(this.state.layer));
    const options = {
      title: `What it receives, layer ${layers[chosen]}, ${head}`, xTitle: "step", yTitle: "received mean", x: steps,
      note: [trace.causal ? receivedMeaning(trace) : "", keySpan > 1 ? `Mean over the ${keySpan} positions of its cell.` : "", isCoded ? CODED : ""].join(" ").trim(), isCoded, class: "chart small",
      series: [{ name: "received mean", values: rows[chosen].map((value) => (Number.isNaN(value) ? null : value)) }],
      onChoose: (place) => this.state.set({ step: steps[place] }), name: "received-by-followed-token",
    };
    if (this.figure) this.figure.show(options);
    else this.figure = new LineFigure(this.lineBox, options);
    const values = Float32Array.from(rows.flat());
    this.content = {
      columns: steps.length, rows: layers.length, values, scale: new Scale("root", 0, largest(values)),
      rowLabel: (row) => String(layers[row]),
    };
    this.map.show(this.content);
    this.mark();
  }

  /** In which layers and at which steps it is a sink. */
  sinkSteps(blocks, cell) {
    const { keySpan, layers, steps } = this.kept;
    const told = blocks.map((block, place) => {
      const width = block.sinks.shape[1];
      const found = steps.filter((_, step) => cell < width && block.sinks.values[step * width + cell] === 1);
      return found.length ? `layer ${layers[place]}, steps ${ranges(found, steps)}` : "";
    }).filter(Boolean);
    const isSingle = this.context.receivedPath().split("/").length > 2;
    const scope = isSingle ? `In head ${this.state.head}` : "With heads averaged";
    const subject = keySpan > 1 ? "some token of its cell is a sink" : "a sink";
    return `${scope}, ${subject} in ${told.length ? told.join("; ") : "no layer"}.`;
  }

  mark() {
    if (this.state.follow === null || !this.content) return;
    const step = this.kept.steps.indexOf(atOrBefore(this.kept.steps, this.state.step));
    this.figure.mark(step);
    this.map.markCurrent({ row: this.kept.layers.indexOf(this.state.layer), column: step });
  }

  read(cell) {
    if (!cell) {
      this.readout.textContent = "\u00a0";
      return;
    }
    const value = this.map.value(cell);
    this.readout.textContent = `Layer ${this.kept.layers[cell.row]}, step ${this.kept.steps[cell.column]}: `
      + (Number.isNaN(value) ? "not seen" : shownWithin(value, codeError(value, this.peaks[cell.row])));
  }
}/** Steps as ranges of what lies side by side among all: `5–9, 17`. */
function ranges(some, all) {
  const runs = [];
  for (const step of some) {
    const last = runs.at(-1);
    if (last && all.indexOf(step) === all.indexOf(last[1]) + 1) last[1] = step;
    else runs.push([step, step]);
  }
  return runs.map(([first, last]) => (first === last ? String(first) : `${first}–${last}`)).join(", ");
}


