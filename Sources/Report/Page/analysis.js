"use strict";
// Figures of one trace's analysis. Each says what it is, gives its numbers, or says why there is none.

/** Heat map of a quantity over two axes, values written into its cells. */
function matrixFigure(parent, { title, quantity, note, onChoose, tall, values = quantity.values, axes = axesOf(quantity) }) {
  const figure = make("figure", { class: "chart" }, make("h3", {}, title));
  const legend = make("div");
  const readout = make("p", { class: "notes", "aria-live": "polite" }, "\u00a0");
  parent.append(figure);
  const [rows, columns] = axes;
  const numbers = Float32Array.from(values, (value) => value ?? NaN);
  const map = new HeatMap(figure, {
    label: `${title}: ${words(quantity.name)} by ${words(rows.name)} and ${words(columns.name)}. The numbers stand below as a table.`,
    cellHeight: tall ? 40 : 26, cellWidth: 90, maxHeight: 420, leftMargin: tall ? 100 : 34, topMargin: 30,
    onChoose,
    onPoint: (cell) => {
      readout.textContent = cell
        ? `${words(rows.name)} ${rows.labels[cell.row]}, ${words(columns.name)} ${columns.labels[cell.column]}: ${shown(values[cell.row * columns.labels.length + cell.column])}`
        : "\u00a0";
    },
  });
  const low = Math.min(0, ...numbers.filter((value) => !Number.isNaN(value)));
  const scale = new Scale("linear", low, largest(numbers));
  map.show({
    columns: columns.labels.length, rows: rows.labels.length, values: numbers, scale, cellText: true,
    rowLabel: (row) => label(String(rows.labels[row]), 16), columnLabel: (column) => label(String(columns.labels[column]), 12),
  });
  const drawLegend = () => scale.legend(legend, `${quantity.unit}; rows: ${words(rows.name)}, columns: ${words(columns.name)}`);
  drawLegend();
  theme.listen(drawLegend, figure);
  figure.append(legend, readout, make("p", { class: "notes" }, note ?? sentence(quantity)), numbersBehind(() => quantityTable(quantity)));
  return map;
}

/** What a quantity means, and what of it to beware of. */
function sentence(quantity) {
  const cumulative = isCumulative(quantity)
    ? " On running sums of a causal trace: not to be set against a diffusion model's." : "";
  const meaning = quantity.meaning;
  return `${meaning.charAt(0).toUpperCase()}${meaning.slice(1)}.${cumulative}`;
}

/** That scores in units of one kind of trace are none to set against another's. */
function unitWarning(score) {
  return score.unit === "window" || score.unit === "sum"
    ? `In units of “${score.unit}”: scores of a causal trace (window: times uniform attention, over its last rows) and of a diffusion `
      + "trace (sum: attention summed over all rows) are not to be set against each other. "
    : "";
}

/** Says that a figure is not there, and why. */
function absentFigure(parent, title, why) {
  parent.append(make("figure", { class: "chart absent" }, make("h3", {}, title),
    make("p", {}, `Not in this trace: ${why}.`)));
}

/** A table of an analysis. */
function tableFigure({ title, columns, rows, name, notes = [] }) {
  return make("figure", { class: "chart" }, make("h3", {}, title),
    rows.length ? dataTable({ caption: title, columns, rows, name }) : make("p", { class: "quiet" }, "None."),
    ...notes.map((note) => make("p", { class: "notes" }, note)));
}

function heading(parent, title) {
  const grid = make("div", { class: "figures" });
  parent.append(make("h3", { class: "group" }, title), grid);
  return grid;
}

class AnalysisView {
  constructor(context) {
    this.context = context;
    this.state = context.state;
  }

  waiting() {
    byId("rule").textContent = "Computing: one pass over the trace …";
    this.clear();
    byId("numbers-body").replaceChildren();
  }

  /** Takes the figures away, and what the charts library keeps of them. */
  clear() {
    const box = byId("charts");
    for (const canvas of box.querySelectorAll("canvas")) Chart.getChart(canvas)?.destroy();
    box.replaceChildren();
  }

  show(analysis) {
    const quantities = new Quantities(analysis);
    const box = byId("charts");
    byId("rule").textContent = `Sink rule: ${analysis.rule}.`;
    this.clear();
    this.sinks(heading(box, "Sinks"), quantities);
    this.structure(heading(box, "Structure and content, by depth"), quantities);
    this.decomposition(heading(box, "What makes a sink: queries and keys"), quantities);
    this.flow(heading(box, "Flow between regions"), quantities);
    this.retrieval(heading(box, "Retrieval"), quantities);
    this.tables(heading(box, "Tables"), analysis);
    this.allNumbers(analysis);
  }

  sinks(parent, quantities) {
    const score = quantities.find("top_score");
    if (score) {
      matrixFigure(parent, {
        title: "Sink score by layer and head", quantity: score, note: `${sentence(score)} ${unitWarning(score)}Click a cell to look at its layer and head.`,
        onChoose: ({ row, column }) => this.choose(row === null ? null : score.axes.layer[row], column === null ? null : score.axes.head[column]),
      });
    } else {
      absentFigure(parent, "Sink score by layer and head", quantities.why("score_by_head"));
    }
    this.absorption(parent, quantities);
    this.floating(parent, quantities);
  }

  choose(layer, head) {
    const changes = {};
    if (layer !== null) changes.layer = layer;
    if (head !== null) changes.head = head;
    this.state.set(changes);
    byId("controls").scrollIntoView({ block: "start" });
  }

  absorption(parent, quantities) {
    const [rule] = quantities.analysis.rule.split(" ");
    const names = { [rule]: "sinks of the rule", top_key: "the top key", first_token: "the first token" };
    const series = [];
    let sample = null;
    for (const [part, name] of Object.entries(names)) {
      const byLayer = quantities.find(`absorption_${part}_by_layer`);
      const perHead = quantities.find(`absorption_${part}`);
      if (!byLayer || !perHead) continue;
      sample ??= byLayer;
      series.push(bandSeries(name, byLayer.values, perHead));
    }
    if (!sample) return absentFigure(parent, "Absorption by layer", quantities.why("absorption"));
    const warning = isCumulative(sample) ? " On running sums of a causal trace: not to be set against a diffusion model's." : "";
    new LineFigure(parent, {
      title: "Absorption by layer", xTitle: "layer", yTitle: "% of all attention", x: sample.axes.layer, series,
      note: `Share of all attention that goes to each. Bands: one standard deviation over heads.${warning}`, name: "absorption-by-layer",
    });
  }

  floating(parent, quantities) {
    const title = "How far attention floats from row to row";
    const perHead = quantities.find("answer_floating_index");
    if (!perHead) return absentFigure(parent, title, quantities.why("like_rows"));
    const series = [seriesOverHeads("floating index of answer rows", perHead)];
    const turnover = quantities.find("answer_turnover");
    if (turnover) series.push(seriesOverHeads("turnover of their sinks", turnover));
    new LineFigure(parent, {
      title, xTitle: "layer", yTitle: "share", x: perHead.axes.layer, series, name: "floating-by-layer",
      note: "Of the rows that scored each emitted token, each against the next; mean over heads, bands of one standard deviation.",
    });
  }

  structure(parent, quantities) {
    const structural = quantities.find("structural_share_by_layer");
    const classes = quantities.find("class_share_by_layer");
    const uniform = quantities.find("structural_over_uniform_by_layer");
    if (!structural || !classes) return absentFigure(parent, "Structure against content", quantities.why("structure_share"));
    const x = structural.axes.layer;
    const column = (name) => {
      const at = classes.axes.token_class.indexOf(name);
      return x.map((_, row) => classes.values[row * classes.axes.token_class.length + at]);
    };
    const series = [{ name: "structural tokens", values: structural.values }, { name: "content tokens", values: column("content") }];
    if (uniform) {
      series.push({
        name: "structural, were attention uniform",
        values: structural.values.map((value, row) => (uniform.values[row] ? value / uniform.values[row] : null)),
      });
    }
    new LineFigure(parent, {
      title: "Structure against content", xTitle: "layer", yTitle: "share of all attention", x, series, note: sentence(structural), name: "structure-by-layer",
    });
    const present = classes.axes.token_class.filter((name) => column(name).some((value) => value > 0));
    new LineFigure(parent, {
      title: "By class of token", xTitle: "layer", yTitle: "share of all attention", x,
      series: present.map((name) => ({ name, values: column(name) })), note: sentence(classes), name: "classes-by-layer",
    });
  }

  decomposition(parent, quantities) {
    const terms = [["norm_product", "Norms: |q| |k|"], ["cosine", "Angle: cosine of q and k"], ["logit", "Logit: q.k / sqrt(head_dim)"]];
    let any = false;
    for (const [term, title] of terms) {
      const pick = (end) => quantities.find(`vector_${term}_${end}`, `map_${term}_${end}`);
      const [sinks, others] = [pick("on_sinks"), pick("on_others")];
      if (!sinks || !others) continue;
      any = true;
      const source = sinks.name.startsWith("map_") ? " Worked out from stored maps, of weights from 2^-14 on." : "";
      new LineFigure(parent, {
        title, xTitle: "layer", yTitle: sinks.unit, x: sinks.axes.layer, from0: term === "norm_product",
        series: [seriesOverHeads("on sinks", sinks), seriesOverHeads("on other keys", others)],
        note: `Mean over heads; bands of one standard deviation.${source}`, name: `qk-${term}-by-layer`,
      });
    }
    if (!any) absentFigure(parent, "QK decomposition", `${quantities.why("qk_decomposition")}; capture with --record qk, or with --signals rows,norms beside maps`);
  }

  flow(parent, quantities) {
    const flow = quantities.find("region_flow");
    const mass = quantities.find("region_mass");
    if (!flow) return absentFigure(parent, "Region flow", quantities.why("region_flow"));
    matrixFigure(parent, { title: "Flow, rolled out over the layers", quantity: flow, tall: true });
    if (!mass) return;
    const { layer, query_region: from, key_region: to } = mass.axes;
    const last = from.length - 1;
    new LineFigure(parent, {
      title: `What queries of “${from[last]}” attend to`, xTitle: "layer", yTitle: mass.unit, x: layer, name: "region-mass-by-layer", note: sentence(mass),
      series: to.map((name, key) => ({ name, values: layer.map((_, row) => mass.values[(row * from.length + last) * to.length + key]) })),
    });
  }

  retrieval(parent, quantities) {
    const score = quantities.find("retrieval_score");
    if (!score) return absentFigure(parent, "Retrieval heads", quantities.why("retrieval_heads"));
    matrixFigure(parent, {
      title: "Retrieval score by layer and head", quantity: score,
      onChoose: ({ row, column }) => this.choose(row === null ? null : score.axes.layer[row], column === null ? null : score.axes.head[column]),
    });
  }

  tables(parent, analysis) {
    parent.classList.add("wide");
    parent.append(...analysis.tables.map(tableFigure));
  }

  /** Any quantity, chosen from a list. */
  allNumbers(analysis) {
    const box = byId("numbers-body");
    const choice = make("select", { id: "quantity" }, ...analysis.metrics.map((metric) =>
      make("optgroup", { label: words(metric.metric) }, ...metric.quantities.map((quantity) =>
        make("option", { value: quantity.name }, words(quantity.name))))));
    const table = make("div");
    const all = analysis.metrics.flatMap((metric) => metric.quantities);
    const show = () => {
      const quantity = all.find((each) => each.name === choice.value);
      table.replaceChildren(quantity ? dataTable(quantityTable(quantity)) : "");
    };
    choice.addEventListener("change", show);
    const left = Object.entries(analysis.leftOut);
    const notes = (analysis.notes ?? []).map((note) => make("p", { class: "notes" }, note));
    box.replaceChildren(make("p", { class: "no-print" }, make("label", {}, "Quantity ", choice)), table,
      left.length ? make("div", { class: "notes" }, make("p", {}, "Not computed of this trace:"),
        make("ul", {}, ...left.map(([metric, why]) => make("li", {}, `${words(metric)}: ${why}`)))) : "", ...notes);
    show();
  }
}
