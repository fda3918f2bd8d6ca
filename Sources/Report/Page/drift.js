"use strict";
// Drift: what each key receives, step by step; sinks hatched, trajectories drawn over it.

/** What the received means of a trace are, in a sentence. */
function receivedMeaning(trace) {
  if (!trace.causal) return "Mean attention that each key receives, by step.";
  const sinks = trace.window === null ? "sinks likewise" : `sinks on the last ${trace.window} rows`;
  return `Mean attention that each key receives, by step: mean over all rows so far; ${sinks}.`;
}

class Drift {
  constructor(context) {
    this.context = context;
    this.state = context.state;
    this.words = null;
    this.analysis = null;
    this.map = new HeatMap(byId("drift-map"), {
      label: "Drift", cellHeight: 9, minHeight: 220, maxHeight: 620, leftMargin: 40,
      onPoint: (cell) => this.read(cell), onChoose: (cell) => this.choose(cell),
    });
    for (const id of ["drift-sinks", "drift-lines"]) byId(id).addEventListener("change", () => this.update());
    byId("drift-numbers").append(this.numbers());
    this.state.listen(["trace"], () => this.thumbnails());
    this.state.listen(["trace", "layer", "head", "follow"], () => this.update());
    this.state.listen(["layer"], () => this.markThumbnail());
    this.state.listen(["step"], () => this.markStep());
    theme.listen(() => this.thumbnails());
  }

  get kept() {
    return this.context.trace.blocks.received;
  }

  update() {
    byId("drift").hidden = !this.kept;
    if (!this.kept) return;
    byId("drift-lead").textContent = receivedMeaning(this.context.trace);
    const path = this.context.receivedPath();
    const { trace } = this.state;
    this.context.load(this.context.block(path), () => trace === this.state.trace && path === this.context.receivedPath(),
      (block) => this.show(block));
  }

  show(block) {
    const { trace } = this.context;
    const { keySpan, steps } = this.kept;
    const { layer, head, follow } = this.state;
    const [rows, columns] = block.received.shape;
    this.block = block;
    const scale = new Scale("root", 0, block.received.peak || largest(block.received.values));
    const single = head !== "mean" && this.kept.heads.includes(head);
    const title = `Layer ${layer}, ${single ? `head ${head}` : "mean over heads"}`;
    this.content = {
      columns, rows, values: block.received.values, scale,
      columnLabel: (column) => `${label(finalText(trace, column * keySpan), 9)} ${column * keySpan}`,
      rowLabel: (row) => String(steps[row]),
      hatch: byId("drift-sinks").checked ? block.sinks.values : null,
      lines: byId("drift-lines").checked && !single ? this.trajectories(layer) : null,
      followColumn: follow === null ? -1 : Math.floor(follow / keySpan),
    };
    byId("drift-caption").textContent = `${title}: steps down, positions across${trace.causal ? "; mean over all rows so far" : ""}`;
    this.map.canvas.setAttribute("aria-label", `Drift. ${title}. Received mean of ${columns} keys over ${rows} steps. `
      + "Arrow keys move from cell to cell, Enter follows the key.");
    scale.legend(byId("drift-legend"), trace.causal ? "received mean, over all rows so far" : "received mean");
    const notes = [];
    if (head !== "mean" && !single) notes.push("The page keeps no single heads; this is the mean over heads.");
    if (single) notes.push("Trajectories are of the layer with its heads averaged: choose the mean over heads to see them.");
    if (keySpan > 1) notes.push(`A cell is the mean over ${keySpan} positions.`);
    if (steps.length < trace.steps.length) notes.push(`${steps.length} of ${trace.steps.length} steps are kept.`);
    if (block.sinks.values.includes(255)) notes.push("At steps without hatching the rule may say nothing: too few rows.");
    notes.push(`Sinks by ${trace.rule}, ${single ? "of this head by itself" : "per layer, its heads averaged first"}.`);
    if (block.received.peak) notes.push(CODED);
    byId("drift-notes").textContent = notes.join(" ");
    this.map.show(this.content);
    this.markStep();
    this.fillNumbers();
  }

  /** Trajectories of a layer as places in the map. */
  trajectories(layer) {
    const { keySpan, steps } = this.kept;
    const paths = this.analysis?.trajectories?.[layer] ?? [];
    const rows = new Map(steps.map((step, row) => [step, row]));
    const { follow } = this.state;
    const drawn = paths.map((path) => path.filter((point) => rows.has(point.step))
      .map((point) => ({ column: Math.floor(point.position / keySpan), row: rows.get(point.step) })))
      .filter((path) => path.length > 0);
    const followed = follow === null ? -1 : Math.floor(follow / keySpan);
    for (const path of drawn) path.isFollowed = path.some((point) => point.column === followed);
    return drawn;
  }

  markStep() {
    if (this.kept) this.map.markCurrent({ row: this.kept.steps.indexOf(atOrBefore(this.kept.steps, this.state.step)) });
  }

  read(cell) {
    const out = byId("drift-readout");
    if (!cell) {
      out.textContent = "\u00a0";
      return;
    }
    const step = this.kept.steps[cell.row];
    const position = cell.column * this.kept.keySpan;
    const isSink = this.block.sinks.values[cell.row * this.content.columns + cell.column] === 1;
    const fed = this.words ? this.words.fed(step, position) : "";
    const remark = this.words?.remark(step, "the token is");
    const value = this.map.value(cell);
    out.replaceChildren(`Step ${step}, position ${position} `,
      make("bdi", { class: "token" }, fed === "▒" ? "[mask]" : visible(fed || finalText(this.context.trace, position))),
      ": ", make("span", { id: "drift-value", "data-value": Number.isNaN(value) ? "" : value }, Number.isNaN(value) ? "not seen" : shownWithin(value, codeError(value, this.block.received.peak))),
      isSink ? " · sink" : "", remark ? ` · ${remark}` : "");
  }

  choose(cell) {
    if (cell.column === null) return this.state.set({ step: this.kept.steps[cell.row] });
    const position = cell.column * this.kept.keySpan;
    this.state.set({ follow: this.state.follow === position ? null : position });
  }

  numbers() {
    this.details = make("details", { class: "numbers" }, make("summary", {}, "Numbers"));
    this.details.addEventListener("toggle", () => this.fillNumbers());
    return this.details;
  }

  /** The numbers of what is drawn as a table, where they are wanted. */
  fillNumbers() {
    if (!this.details.open || !this.block) return;
    const { columns, rows, values } = this.content;
    const list = [];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const [value, sink] = [values[row * columns + column], this.block.sinks.values[row * columns + column]];
        list.push([this.kept.steps[row], column * this.kept.keySpan, finalText(this.context.trace, column * this.kept.keySpan),
          Number.isNaN(value) ? null : value, sink === 255 ? null : sink]);
      }
    }
    const site = this.context.receivedPath().split("/").slice(1);
    this.details.replaceChildren(this.details.firstElementChild, dataTable({
      caption: byId("drift-caption").textContent, rows: list, isCoded: Boolean(this.block.received.peak),
      name: `drift-layer-${site[0]}${site.length > 1 ? `-head-${site[1]}` : ""}`,
      columns: [{ name: "step" }, { name: "position" }, { name: "token" }, { name: "received mean" }, { name: "sink" }],
    }));
  }

  /** A small map of each layer; loaded as it nears the window. */
  thumbnails() {
    const box = byId("drift-layers");
    if (!this.kept) return box.replaceChildren();
    box.replaceChildren(...this.kept.layers.map((layer) => {
      const canvas = make("canvas", { role: "img", "aria-label": `Drift of layer ${layer}, mean over heads` });
      const button = make("button", { type: "button", class: "thumbnail", "data-layer": layer }, canvas, make("span", {}, `layer ${layer}`));
      button.addEventListener("click", () => this.state.set({ layer }));
      return button;
    }));
    this.markThumbnail();
    this.context.source.whenWanted(box, () => {
      const { trace } = this.state;
      for (const button of [...box.children]) {
        this.context.load(this.context.block(`received/${button.dataset.layer}`), () => trace === this.state.trace && button.isConnected, (block) => {
          const [rows, columns] = block.received.shape;
          new Scale("root", 0, block.received.peak || largest(block.received.values))
            .paint(block.received.values, columns, rows, button.firstElementChild);
        });
      }
    });
  }

  markThumbnail() {
    for (const button of byId("drift-layers").children) {
      const isChosen = Number(button.dataset.layer) === this.state.layer;
      button.setAttribute("aria-pressed", String(isChosen));
    }
  }
}
