"use strict";
(function () {
  const live = document.getElementById("live");
  const holder = document.getElementById("figures");
  const connection = document.getElementById("connection");
  const choices = ["block", "metric"].map((id) => document.getElementById(id)).filter(Boolean);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 640px)");
  const options = {
    responsive: true, displaylogo: false, modeBarButtons: [["toImage", "resetScale2d"]],
    displayModeBar: window.matchMedia("(hover: hover)").matches ? "hover" : false,
  };
  const slowest = 60;
  let timer = null;
  let asked = 0; // responses to earlier selections are dropped
  let failures = 0;
  let shown = { part: "", figures: [], templates: {} };
  let drawn = [];

  function address() {
    const url = new URL(live.dataset.live, window.location.origin);
    choices.forEach((choice) => url.searchParams.set(choice.id, choice.value));
    return url;
  }

  // The part is HTML that the server has escaped; it is replaced only if it differs, so that a text selection survives.
  function showPart(part) {
    if (part !== shown.part) live.innerHTML = part;
  }

  function makePlace() {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const place = document.createElement("div");
    place.className = "drawing";
    place.setAttribute("role", "img");
    figure.append(caption, place);
    return figure;
  }

  function draw(number, figure) {
    const element = holder.children[number];
    element.firstChild.textContent = figure.title;
    element.lastChild.setAttribute("aria-label", figure.alt);
    const layout = structuredClone(figure.layout);
    layout.template = structuredClone(shown.templates[dark.matches ? "dark" : "light"]);
    layout.template.layout.font.size = narrow.matches ? 11 : 13;
    layout.dragmode = narrow.matches ? false : layout.dragmode;
    layout.uirevision = choices.map((choice) => choice.value).join(); // keeps the zoom as curves grow
    return Plotly.react(element.lastChild, structuredClone(figure.data), layout, options);
  }

  function showFigures(isAnew) {
    if (!holder) return;
    while (holder.children.length < shown.figures.length) holder.append(makePlace());
    while (holder.children.length > shown.figures.length) {
      Plotly.purge(holder.lastChild.lastChild);
      holder.lastChild.remove();
    }
    shown.figures.forEach((figure, number) => {
      const text = JSON.stringify(figure);
      if (isAnew || text !== drawn[number]) draw(number, figure);
      drawn[number] = text;
    });
    drawn.length = shown.figures.length;
  }

  async function ask() {
    clearTimeout(timer);
    if (document.hidden) return;
    const mine = ++asked;
    let again = 1;
    try {
      const reply = await fetch(address(), { credentials: "omit", cache: "no-store" });
      if (mine !== asked) return;
      const answer = await reply.json();
      if (mine !== asked) return;
      again = answer.again_seconds;
      connection.textContent = answer.problem || "";
      failures = 0;
      if (!answer.problem) {
        showPart(answer.part);
        shown = answer;
        showFigures(false);
      }
    } catch (error) {
      if (mine !== asked) return;
      failures += 1;
      again = Math.min(slowest, 2 ** failures);
      connection.textContent = "The server does not respond: showing the last known state. Retrying.";
    }
    timer = setTimeout(ask, 1000 * again);
  }

  choices.forEach((choice) => choice.addEventListener("change", ask));
  document.addEventListener("visibilitychange", ask);
  dark.addEventListener("change", () => showFigures(true));
  narrow.addEventListener("change", () => showFigures(true));
  ask();
})();
