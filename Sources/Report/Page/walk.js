"use strict";
// The walk through the maps: one map at a time, by step, layer and head.

const PREFETCHED = 6;

class Walk {
  constructor(context) {
    this.context = context;
    this.state = context.state;
    this.words = null;
    this.map = new HeatMap(byId("map"), {
      label: "Attention map", square: true, maxHeight: 760,
      onPoint: (cell, byKeyboard) => this.read(cell, byKeyboard),
      onChoose: (cell) => this.follow(cell),
    });
    this.state.listen(["trace", "step", "layer", "head", "scale", "stretch", "follow"], (changed) => this.update(changed));
  }

  /** Draws the map wanted, at once if it is at hand. */
  update(changed = new Set()) {
    const { trace } = this.context;
    if (changed.has("trace")) this.sinks = null;
    byId("walk").classList.toggle("without-maps", !trace.blocks.map);
    if (!trace.blocks.map) return this.sayThatThereAreNone();
    this.step = trace.causal ? this.state.step : atOrBefore(trace.blocks.map.steps, this.state.step);
    const hasHead = this.state.head === "mean" || trace.blocks.map.heads.includes(this.state.head);
    this.head = hasHead ? this.state.head : "mean";
    this.layer = trace.blocks.map.layers.includes(this.state.layer) ? this.state.layer : trace.blocks.map.layers[0];
    // A causal trace keeps each row once: the map of a step is the first rows of the last step's.
    this.from = atOrBefore(trace.blocks.map.steps, this.step);
    this.wanted = `map/${this.from}/${this.layer}/${this.head}`;
    byId("map").setAttribute("aria-busy", "true");
    this.loadMap();
    if (trace.blocks.received) this.loadSinks();
  }

  /** Shows the map wanted: in this frame if it is at hand, else when it has come, unless another one is wanted by then. */
  loadMap() {
    const former = this.loading;
    const loading = new AbortController();
    this.loading = loading;
    const block = this.context.peek(this.wanted);
    if (block) {
      former?.abort();
      return this.arrive(block);
    }
    const coming = this.context.source.block(this.state.trace, this.wanted, loading.signal);
    // Let go of only now: what is under way may be what is wanted.
    former?.abort();
    this.context.source.prefetch(this.state.trace, []);
    coming.then((block) => {
      if (this.loading === loading) this.arrive(block);
    }).catch((error) => {
      if (this.loading === loading) this.miss(error);
    });
  }

  arrive(block) {
    this.show(block);
    byId("map").setAttribute("aria-busy", "false");
    this.prefetch();
  }

  /** Says that the map wanted could not be had, and shows none: not the former one. */
  miss(error) {
    this.content = null;
    byId("map").style.visibility = "hidden";
    byId("map").setAttribute("aria-busy", "false");
    byId("map-caption").textContent = `${this.title}: could not be loaded`;
    byId("map-notes").textContent = "";
    this.read(null);
    complain(`Could not load: ${error.message}`);
  }

  loadSinks() {
    const { trace } = this.state;
    const path = this.context.receivedPath();
    const block = this.context.peek(path);
    if (block) return this.showSinks(block);
    this.context.load(this.context.block(path), () => trace === this.state.trace && path === this.context.receivedPath(),
      (block) => this.showSinks(block));
  }

  /** What the map wanted is called. */
  get title() {
    return `Step ${this.step}, layer ${this.layer}, ${this.head === "mean" ? "mean over heads" : `head ${this.head}`}`;
  }

  /** Asks for the maps that the next moves may want, the nearest first. */
  prefetch() {
    const { steps } = this.context.trace.blocks.map;
    const place = steps.indexOf(this.from);
    const direction = place >= (this.lastPlace ?? 0) ? 1 : -1;
    this.lastPlace = place;
    const offsets = [];
    for (let by = 1; by <= PREFETCHED; by++) offsets.push(by * direction);
    offsets.push(-direction, -2 * direction);
    const paths = offsets.map((by) => steps[place + by]).filter((step) => step !== undefined)
      .map((step) => `map/${step}/${this.layer}/${this.head}`);
    this.context.source.prefetch(this.state.trace, paths);
  }

  sayThatThereAreNone() {
    this.loading?.abort();
    this.loading = null;
    byId("map-caption").textContent = "No maps in this trace";
    byId("map-notes").replaceChildren(make("p", {}, "Full attention was not recorded. Capture with --record maps or --record qk to walk "
      + "through maps; what each key received is below."));
  }

  /** Rows of the frame that the map is drawn in: one cell each, so that causal maps grow in place. */
  frame(block) {
    const { causal, keys, blocks } = this.context.trace;
    const { span } = blocks.map;
    const [rowCount, columnCount] = block.weights.shape;
    const columns = causal ? Math.ceil(keys / span) : columnCount;
    // Selected queries need not fill such a frame: they are drawn one below the other.
    const fillsFrame = causal && block.queries.values.every((query, row) => query === row * span);
    if (!fillsFrame) return { columns, rows: rowCount, positions: [...block.queries.values] };
    return { columns, rows: columns, positions: Array.from({ length: columns }, (_, row) => row * span) };
  }

  /** Values of the block in the frame; of a causal trace the rows so far. */
  framed(block, frame) {
    const { causal, promptLength, steps } = this.context.trace;
    if (!causal) return block.weights.values;
    const values = new Float32Array(frame.rows * frame.columns).fill(NaN);
    const [rowCount, columnCount] = block.weights.shape;
    const soFar = promptLength + steps.indexOf(this.step);
    for (let row = 0; row < rowCount && block.queries.values[row] + block.lengths.values[row] <= soFar; row++) {
      values.set(block.weights.values.subarray(row * columnCount, (row + 1) * columnCount), row * frame.columns);
    }
    return values;
  }

  show(block) {
    const { trace } = this.context;
    const { span } = trace.blocks.map;
    const { scale: kind, stretch, follow } = this.state;
    const frame = this.frame(block);
    this.peak = block.weights.peak;
    this.positions = frame.positions;
    this.lengths = block.lengths.values;
    const top = stretch ? largest(block.weights.values) : 1;
    const scale = new Scale(kind, 0, top);
    const name = (position) => `${label(this.words ? this.words.fed(this.step, position) : finalText(trace, position), 9)} ${position}`;
    const followed = follow === null ? -1 : Math.floor(follow / span);
    this.content = {
      columns: frame.columns, rows: frame.rows, values: this.framed(block, frame), scale,
      columnLabel: (column) => name(column * span), rowLabel: (row) => name(frame.positions[row]),
      columnMarks: this.sinkColumns(), followColumn: followed < frame.columns ? followed : -1,
      followRow: follow === null ? -1 : frame.positions.findIndex((position, row) => position <= follow && follow < position + (this.lengths[row] ?? span)),
    };
    const { title } = this;
    byId("map").style.visibility = "";
    this.description = `Attention map. ${title}. ${frame.rows} queries by ${frame.columns} keys.`;
    this.nameCanvas();
    byId("map-caption").textContent = title;
    this.map.show(this.content);
    const legend = `${kind} ${top} ${theme.name}`;
    if (legend !== this.legendShown) scale.legend(byId("map-legend"), "attention weight");
    this.legendShown = legend;
    this.showNotes();
    if (!this.map.cursor) this.read(null);
  }

  showNotes() {
    const { trace } = this.context;
    const { span } = trace.blocks.map;
    const notes = [];
    if (this.step !== this.state.step) notes.push(`The page keeps no map of step ${this.state.step}; this is step ${this.step}.`);
    if (this.head !== this.state.head) notes.push(`The page keeps no maps of single heads; this is the mean over heads.`);
    if (this.layer !== this.state.layer) notes.push(`The page keeps no maps of layer ${this.state.layer}; this is layer ${this.layer}.`);
    if (span > 1) notes.push(`A cell is the mean over up to ${span} x ${span} weights.`);
    const remark = this.words?.remark(this.step, "labels are");
    if (remark) notes.push(remark);
    const sinkStep = trace.blocks.received ? atOrBefore(trace.blocks.received.steps, this.step) : this.step;
    if (sinkStep !== this.step) notes.push(`Marks of sinks are of step ${sinkStep}.`);
    if (this.content?.columnMarks?.length) notes.unshift("▼ marks sinks of the step.");
    if (this.peak) notes.push(CODED);
    const text = notes.join(" ");
    if (byId("map-notes").textContent !== text) byId("map-notes").textContent = text;
  }

  /** Columns of the sinks of the step, by the cells of the map. */
  sinkColumns() {
    const { trace } = this.context;
    if (!trace.blocks.received || !this.sinks || this.sinks.path !== this.context.receivedPath()) return [];
    const { keySpan, steps } = trace.blocks.received;
    const row = steps.indexOf(atOrBefore(steps, this.step));
    const columns = new Set();
    const width = this.sinks.block.sinks.shape[1];
    for (let key = 0; key < width; key++) {
      if (this.sinks.block.sinks.values[row * width + key] === 1) columns.add(Math.floor((key * keySpan) / trace.blocks.map.span));
    }
    return [...columns];
  }

  showSinks(block) {
    const path = this.context.receivedPath();
    if (this.sinks?.path === path) return;
    this.sinks = { path, block };
    if (!this.content) return;
    this.content.columnMarks = this.sinkColumns();
    this.nameCanvas();
    this.map.redraw();
  }

  /** Says what the map is, and which columns are marked, to who cannot see it. */
  nameCanvas() {
    const marks = this.content.columnMarks.map((column) => column * this.context.trace.blocks.map.span);
    this.map.canvas.setAttribute("aria-label", `${this.description} ${marks.length ? `Sinks at ${marks.join(", ")}. ` : ""}`
      + "Arrow keys move from cell to cell, Enter follows the key.");
  }

  /** Says what lies under the pointer. */
  read(cell, byKeyboard) {
    const out = byId("map-readout");
    if (!cell || !this.content) {
      out.replaceChildren(make("div", { class: "readout-empty" }, make("dt", {}, "Value"), make("dd", {}, "hover over the map")));
      return;
    }
    const { trace } = this.context;
    const { span } = trace.blocks.map;
    const value = this.map.value(cell);
    const query = this.positions[cell.row];
    const key = cell.column * span;
    const at = (position, length) => make("span", {}, make("bdi", { class: "token" }, this.tokenAt(position)),
      ` ${length > 1 ? `${position}–${position + length - 1}` : position}`);
    const entry = (name, ...content) => make("div", {}, make("dt", {}, name), make("dd", {}, ...content));
    out.replaceChildren(
      entry("Value", make("span", { id: "map-value", class: "value", "data-value": Number.isNaN(value) ? "" : value },
        Number.isNaN(value) ? "not seen" : shownWithin(value, codeError(value, this.peak)))),
      entry("Query", at(query, this.lengths[cell.row] ?? span)), entry("Key", at(key, Math.min(span, trace.keys - key))));
    if (byKeyboard) {
      byId("map-status").textContent = `${Number.isNaN(value) ? "not seen" : shown(value, 3)}: query ${query} ${this.tokenAt(query)}, `
        + `key ${key} ${this.tokenAt(key)}`;
    }
  }

  tokenAt(position) {
    const fed = this.words ? this.words.fed(this.step, position) : finalText(this.context.trace, position);
    return fed === "▒" ? `[mask] → ${visible(finalText(this.context.trace, position))}` : visible(fed);
  }

  /** Follows the key of a cell, or the token of a label. */
  follow(cell) {
    const position = cell.column === null ? this.positions[cell.row] : cell.column * this.context.trace.blocks.map.span;
    this.state.set({ follow: this.state.follow === position ? null : position });
  }
}
