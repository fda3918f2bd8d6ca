"use strict";
// What was captured: prompt, verification, what was left out, every fact.

/** Sound or not, in words, shape and colour. */
function verificationBadge(verification) {
  if (verification.sound === null) return make("p", { class: "badge" }, "? Not verified");
  const sign = verification.sound ? "✓" : "✕";
  const said = verification.sound ? `Sound (verified: ${verification.level})` : `Not sound (verified: ${verification.level})`;
  return make("p", { class: `badge ${verification.sound ? "sound" : "unsound"}` }, make("span", { "aria-hidden": "true" }, `${sign} `), said);
}

function findingList(verification) {
  if (verification.findings.length === 0) return "";
  const lead = verification.sound !== false ? "What verification remarks on:" : "What verification found; numbers on this page may be wrong:";
  return make("div", { class: verification.sound !== false ? "notes" : "unsound-findings" }, make("p", {}, lead),
    make("ul", {}, ...verification.findings.map((finding) => make("li", {}, make("bdi", {}, finding)))));
}

/** One line about a trace: model, kind, size. */
function outline(trace) {
  const kind = trace.causal ? "causal" : trace.guided ? "bidirectional, guided" : "bidirectional";
  return [trace.model, kind, `${trace.steps.length} steps`, `${trace.layers.length} layers`, `${trace.heads.length} heads`,
    `${trace.positions} positions (${trace.promptLength} of the prompt)`].join(" · ");
}

function showFacts(context) {
  const trace = context.trace;
  byId("subtitle").textContent = `${trace.name} — ${outline(trace)}`;
  byId("summary").replaceChildren(
    verificationBadge(trace.verification),
    trace.complete ? "" : make("p", { class: "badge unsound" }, "⚠ Cut short: the run did not reach its end"),
    findingList(trace.verification),
    make("blockquote", { class: "prompt", "aria-label": "Prompt" }, make("bdi", {}, trace.prompt || "(the prompt's text is not recorded)")),
    trace.reductions.length
      ? make("div", { class: "reductions" }, make("p", {}, "How much of the trace this page shows:"),
        make("ul", {}, ...trace.reductions.map((each) => make("li", {}, each))))
      : "");
  byId("facts").replaceChildren(...trace.facts.map(({ title, rows }) =>
    make("details", { class: "facts" }, make("summary", {}, title),
      make("dl", {}, ...rows.map(([name, value]) =>
        make("div", {}, make("dt", {}, name), make("dd", {}, make("bdi", {}, String(value)))))))));
}
