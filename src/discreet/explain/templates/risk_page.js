"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const NAMES = ["epsilon", "delta", "prior", "false_positive_rate", "baseline"];
  const given = Object.assign({}, data.start);
  const at = (id) => document.getElementById(id);
  const share = (name) => name !== "epsilon" && name !== "delta";

  // ---- the controls: a slider for its stops, and a field for any number between its ends

  function exactly(name) { return share(name) ? given[name] * 100 : given[name]; }

  function written(value) { return String(Number(value.toPrecision(6))); }

  function spoken(name) { return share(name) ? risk.percent(given[name]) : written(given[name]); }

  function nearest(name) {
    const stops = data.stops[name], size = (one) => (one === 0 ? -30 : Math.log10(one));
    let best = 0;
    stops.forEach((one, index) => {
      if (Math.abs(size(one) - size(given[name])) < Math.abs(size(stops[best]) - size(given[name]))) { best = index; }
    });
    return best;
  }

  function follow(name) {
    const slider = at(name), exact = at(name + "-exact");
    slider.max = data.stops[name].length - 1;
    const [least, most] = data.ends[name];
    exact.min = share(name) ? written(least * 100) : name === "delta" ? 0 : least;
    exact.max = share(name) ? written(most * 100) : most;
    slider.addEventListener("input", () => {
      given[name] = data.stops[name][Number(slider.value)];
      exact.value = written(exactly(name));
      show();
    });
    exact.addEventListener("input", () => {
      if (!exact.validity.valid) { return; }
      given[name] = share(name) ? Number(exact.value) / 100 : Number(exact.value);
      slider.value = nearest(name);
      show();
    });
    slider.value = nearest(name);
    exact.value = written(exactly(name));
  }

  // ---- the words

  function chosen(both) {
    const noise = document.querySelector("input[value=gaussian]"), worst = document.querySelector("input[value=worst]");
    noise.disabled = both.gaussian === null;
    if (noise.checked && noise.disabled) { worst.checked = true; }
    return noise.checked ? "gaussian" : "worst";
  }

  function cells(one) {
    return Object.fromEntries(Object.entries(one).map(([name, value]) => [name, name === "odds" ? risk.factor(value) : risk.atMost(value, name === "accuracy" ? 1 : 0)]));
  }

  function tell(one) {
    const words = Object.fromEntries(Object.entries(cells(one)).map(([name, text]) => [name, "at most " + text]));
    Object.assign(words, {
      prior: risk.percent(given.prior),
      false_positive_rate: risk.percent(given.false_positive_rate),
      baseline: risk.percent(given.baseline),
      blindly: risk.percent(Math.max(given.prior, 1 - given.prior)),
      probability: given.delta > 0 ? risk.once(Math.min(1, 2 * given.delta)) : "",
    });
    return data.order.map((name) => (name === "beyond" && given.delta === 0 ? "" : data.sentences[name].replace(/\{(\w+)\}/g, (_, gap) => words[gap])));
  }

  function put(element, text) {
    if (element.textContent !== text) { element.textContent = text; }
  }

  function show() {
    const both = risk.numbers(given), name = chosen(both);
    tell(both[name]).forEach((text, index) => put(document.querySelector(`[data-sentence="${index}"]`), text));
    for (const side of ["worst", "gaussian"]) {
      const texts = both[side] === null ? null : cells(both[side]);
      document.querySelectorAll(`[data-number^="${side}."]`).forEach((cell) => put(cell, texts === null ? "–" : texts[cell.dataset.number.split(".")[1]]));
    }
    const label = document.querySelector("input[name=mechanism]:checked").parentElement.textContent.trim();
    put(at("setting"), `ε = ${risk.upwards(given.epsilon, 6)}, δ = ${risk.delta(given.delta)}, ${label}`);
    at("none").hidden = both.gaussian !== null;
    NAMES.forEach((one) => at(one).setAttribute("aria-valuetext", spoken(one)));
    at("pictures").hidden = false;
    drawBelief(both[name]);
    drawPeople(both[name]);
    drawCurve(name, both);
  }

  // ---- the pictures

  function make(tag, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    if (text !== undefined) { made.textContent = text; }
    return made;
  }

  function fill(id, described, shapes) {
    const svg = at(id);
    [...svg.children].filter((child) => !["title", "desc"].includes(child.tagName)).forEach((child) => child.remove());
    put(at(id + "-desc"), described);
    svg.append(...shapes);
  }

  function drawBelief(one) {
    const width = 400, bars = [["before", given.prior, risk.percent(given.prior)], ["after", one.posterior, risk.atMost(one.posterior)]];
    const shapes = bars.flatMap(([name, value, text], row) => [
      make("text", { x: 10, y: 22 + 62 * row }, `${name}: ${row ? "at most " : ""}${text}`),
      make("rect", { x: 10, y: 30 + 62 * row, width, height: 26, class: "edge" }),
      make("rect", { x: 10, y: 30 + 62 * row, width: width * value, height: 26, class: `fill-${name}` }),
    ]);
    shapes.push(make("text", { x: 10, y: 140 }, "0 %"), make("text", { x: 410, y: 140, "text-anchor": "end" }, "100 %"));
    fill("belief", `${bars[0][2]} before, at most ${bars[1][2]} after.`, shapes);
  }

  function drawPeople(one) {
    const found = Math.min(100, Math.ceil(one.true_positive_rate * 100 - 1e-9)), guessed = Math.round(given.false_positive_rate * 100);
    const shapes = [];
    for (let index = 0; index < 100; index += 1) {
      const x = 12 + 20 * (index % 20), y = 12 + 44 * Math.floor(index / 20), inside = index < found;
      shapes.push(make("circle", { cx: x + 6, cy: y + 6, r: 5, class: inside ? "fill-after" : "edge" }));
      shapes.push(make("rect", { x, y: y + 13, width: 12, height: 20, rx: 5, class: inside ? "fill-after" : "edge" }));
      if (index < guessed) { shapes.push(make("circle", { cx: x + 6, cy: y + 23, r: 3, class: inside ? "fill-paper" : "fill-before" })); }
    }
    fill("people", `At most ${found} of 100 are found; guessing finds about ${guessed}.`, shapes);
  }

  function drawCurve(name, both) {
    const left = 62, bottom = 282, size = 268, ends = [-4, 0];
    const x = (value) => left + size * (Math.log10(Math.max(value, 1e-4)) - ends[0]) / 4;
    const y = (value) => bottom - size * (Math.log10(Math.max(value, 1e-4)) - ends[0]) / 4;
    const shapes = [];
    [[1e-4, "0.01 %"], [1e-3, "0.1 %"], [1e-2, "1 %"], [1e-1, "10 %"], [1, "100 %"]].forEach(([value, text]) => {
      shapes.push(make("line", { x1: x(value), x2: x(value), y1: y(1e-4), y2: y(1), class: "grid" }));
      shapes.push(make("line", { x1: x(1e-4), x2: x(1), y1: y(value), y2: y(value), class: "grid" }));
      shapes.push(make("text", { x: x(value), y: bottom + 17, "text-anchor": "middle" }, text));
      shapes.push(make("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
    });
    shapes.push(make("text", { x: left + size / 2, y: bottom + 38, "text-anchor": "middle" }, "wrongly accused"));
    shapes.push(make("line", { x1: x(1e-4), y1: y(1e-4), x2: x(1), y2: y(1), class: "line-guess" }));
    const curves = risk.curves(given), rates = Array.from({ length: 65 }, (_, step) => Math.pow(10, -4 + step / 16));
    for (const side of [name === "worst" ? "gaussian" : "worst", name]) { // the chosen one above the other
      if (curves[side] === null) { continue; }
      const points = rates.map((rate) => `${x(rate).toFixed(1)},${y(curves[side].rate(Math.min(1, rate))).toFixed(1)}`);
      shapes.push(make("polyline", { points: points.join(" "), class: side === name ? "line-chosen" : "line-other" }));
    }
    const rate = given.false_positive_rate, found = both[name].true_positive_rate;
    shapes.push(make("circle", { cx: x(rate), cy: y(found), r: 6, class: "fill-after" }));
    fill("curve", `At ${risk.percent(rate)} wrongly accused, at most ${risk.atMost(found)} are found.`, shapes);
  }

  at("controls").addEventListener("submit", (event) => event.preventDefault());
  document.querySelectorAll("input[name=mechanism]").forEach((radio) => radio.addEventListener("change", show));
  NAMES.forEach(follow);
  show();
})();
