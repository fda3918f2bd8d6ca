"use strict";
// Puts the page together.

/** Links to the sections, which keep the address for the state. */
function setUpContents() {
  const go = (id) => {
    const section = byId(id);
    section.setAttribute("tabindex", "-1");
    section.scrollIntoView({ block: "start" });
    section.focus({ preventScroll: true });
  };
  byId("contents").replaceChildren(...[...document.querySelectorAll("main > section")].filter((section) => !section.hidden).map((section) => {
    const link = make("a", { href: `#${section.id}` }, section.dataset.title);
    link.addEventListener("click", (event) => { event.preventDefault(); go(section.id); });
    return make("li", {}, link);
  }));
  document.querySelector("[data-goto]").onclick = (event) => { event.preventDefault(); go(event.target.dataset.goto); };
}

/** Loads what belongs to the trace looked at: its timeline, and its analysis. */
function loadTrace(context, views) {
  const { trace } = context.state;
  const isWanted = () => trace === context.state.trace;
  const use = (words, timeline) => {
    for (const view of [views.walk, views.text, views.drift]) view.words = words;
    if (timeline) {
      views.text.updateSeen();
      views.walk.update();
    }
  };
  use(null);
  views.drift.analysis = null;
  views.analysis.waiting();
  showFacts(context);
  for (const element of document.querySelectorAll("#controls, main > section:not(#captured, #compare)")) {
    element.hidden = !context.state.hasSteps;
  }
  setUpContents();
  if (!context.state.hasSteps) return;
  context.load(context.block("timeline"), isWanted, (timeline) => use(new Words(context.trace, timeline), timeline));
  context.load(context.source.analysis(trace), isWanted, (analysis) => {
    views.analysis.show(analysis);
    views.drift.analysis = analysis;
    views.drift.update();
  });
}

async function start() {
  setUpTheme();
  const source = new Source();
  const page = await source.page();
  const state = new State(page);
  const context = new Context(page, source, state);
  Object.assign(state, state.recall(page));
  document.title = `${page.title} — attention`;
  byId("title").textContent = page.title;
  byId("producer").textContent = `Made by ${page.producer}.`;
  byId("main").hidden = false;
  byId("compare").hidden = page.traces.length < 2;
  const views = {
    controls: new Controls(context), walk: new Walk(context), follow: new Follow(context), text: new TextView(context),
    drift: new Drift(context), analysis: new AnalysisView(context),
  };
  state.listen(["trace"], () => loadTrace(context, views), { evenWithoutSteps: true });
  for (const name of ["trace", "step", "layer", "head", "follow", "scale", "stretch"]) state.changed.add(name);
  state.announce();
  addEventListener("hashchange", () => state.set(state.recall(page)));
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details.facts")) details.open = true;
  });
  theme.listen(() => { views.walk.update(); views.drift.update(); });
  if (page.traces.length > 1) {
    const all = Promise.all(page.traces.map((_, trace) => source.analysis(trace)));
    context.load(Promise.all([all, source.comparison()]), () => true, ([analyses, comparison]) => showComparison(context, analyses, comparison));
  }
}

start().catch((error) => complain(`The page could not start: ${error.message}`));
