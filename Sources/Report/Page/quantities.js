"use strict";
// Quantities of an analysis, found by name. Of a causal trace some are on running sums and named cumulative_.

class Quantities {
  constructor(analysis) {
    this.analysis = analysis;
    this.byName = new Map();
    for (const metric of analysis.metrics) {
      for (const quantity of metric.quantities) this.byName.set(quantity.name, { ...quantity, metric });
    }
  }

  /** The first that is there of some names, each also as cumulative_; null where there is none. */
  find(...names) {
    for (const name of names) {
      const found = this.byName.get(name) ?? this.byName.get(`cumulative_${name}`);
      if (found) return found;
    }
    return null;
  }

  has(metric) {
    return this.analysis.metrics.some((each) => each.metric === metric);
  }

  /** Why a metric is not there. */
  why(metric) {
    return this.analysis.leftOut[metric] ?? "not computed";
  }
}

/** Names of a quantity's axes, and their lengths. */
function axesOf(quantity) {
  return Object.entries(quantity.axes).map(([name, labels]) => ({ name, labels }));
}

function isCumulative(quantity) {
  return quantity.name.startsWith("cumulative_");
}

/** How far heads lie apart in each layer: mean and population standard deviation of the defined ones. */
function overHeads(quantity) {
  const { layer, head } = quantity.axes;
  return layer.map((_, row) => {
    const row0 = row * head.length;
    const values = quantity.values.slice(row0, row0 + head.length).filter((value) => value !== null);
    if (values.length === 0) return { mean: null, deviation: null };
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    return { mean, deviation: Math.sqrt(square) };
  });
}

/** A series of the means over heads with a band of one standard deviation. */
function seriesOverHeads(name, quantity) {
  return bandSeries(name, overHeads(quantity).map((each) => each.mean), quantity);
}

/** A series of given values with a band of one standard deviation over heads. */
function bandSeries(name, values, perHead) {
  const spread = overHeads(perHead);
  const edge = (sign) => values.map((value, place) =>
    (value === null || spread[place].deviation === null ? null : value + sign * spread[place].deviation));
  return { name, values, band: { low: edge(-1), high: edge(1) } };
}

/** Any quantity as a table: two axes as a matrix, others as a list. */
function quantityTable(quantity) {
  const axes = axesOf(quantity);
  const unit = quantity.unit ? ` (${quantity.unit})` : "";
  const caption = `${words(quantity.name)}${unit}: ${quantity.meaning}`;
  if (axes.length === 2 && axes[1].labels.length <= 24) {
    const [rows, columns] = axes;
    return {
      caption, name: quantity.name,
      columns: [{ name: rows.name }, ...columns.labels.map((each) => ({ name: `${words(columns.name)} ${each}` }))],
      rows: rows.labels.map((each, row) =>
        [each, ...quantity.values.slice(row * columns.labels.length, (row + 1) * columns.labels.length)]),
    };
  }
  const list = quantity.values.map((value, place) => {
    const at = [];
    let rest = place;
    for (const axis of [...axes].reverse()) {
      at.unshift(axis.labels[rest % axis.labels.length]);
      rest = Math.floor(rest / axis.labels.length);
    }
    return [...at, value];
  });
  return { caption, name: quantity.name, rows: list, columns: [...axes.map((axis) => ({ name: axis.name })), { name: words(quantity.name), unit: quantity.unit }] };
}
