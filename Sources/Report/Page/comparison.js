"use strict";
// Several traces in the same figures, each with a line and a point of its own.

const COMPARED = [
  ["answer_absorption", "Absorption of answer rows", "share", "What the top key of a row takes; mean over answer rows."],
  ["answer_first_key_share", "What the first key takes", "share", "Of the rows that scored each emitted token."],
  ["answer_structural_share", "Attention on structural tokens", "share", "All classes of tokens but content."],
  ["answer_floating_index", "Floating index of answer rows", "share", "Total variation between each answer row and the next."],
  ["answer_turnover", "Turnover of the sinks of answer rows", "share", "Share of sinks that two rows in a row do not have in common."],
];

/** Values by layer of a quantity that may lie by layer, or by layer and head. */
function byLayer(quantities, name) {
  const direct = quantities.find(`${name}_by_layer`);
  if (direct) return { layers: direct.axes.layer, values: direct.values };
  const perHead = quantities.find(name);
  return perHead ? { layers: perHead.axes.layer, values: overHeads(perHead).map((each) => each.mean) } : null;
}

function showComparison(context, analyses, { tables, notes }) {
  const { page } = context;
  const body = byId("compare-body");
  byId("compare").hidden = false;
  const grid = make("div", { class: "figures" });
  body.replaceChildren(grid);
  const all = analyses.map((analysis) => new Quantities(analysis));
  for (const [name, title, unit, note] of COMPARED) {
    const found = all.map((quantities) => byLayer(quantities, name));
    if (found.filter(Boolean).length < 2) {
      absentFigure(grid, title, "fewer than two of the traces have it");
      continue;
    }
    const layers = [...new Set(found.flatMap((each) => each?.layers ?? []))].sort((a, b) => a - b);
    const series = found.flatMap((each, trace) => (each === null ? [] : [{
      name: page.traces[trace].name,
      values: layers.map((layer) => each.values[each.layers.indexOf(layer)] ?? null),
    }]));
    new LineFigure(grid, { title, xTitle: "layer", yTitle: unit, x: layers, series, note: `${note} Mean over heads.`, name: name.replaceAll("_", "-") });
  }
  const wide = make("div", { class: "figures wide" });
  body.append(wide);
  wide.append(...tables.map(tableFigure));
  body.append(...notes.map((note) => make("p", { class: "notes" }, note)));
}
