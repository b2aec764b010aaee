// Vega draws what stands in #chart-data; each cell's charts only when they come near the screen, or to paper.
const { pareto, cells, specs, fields, classes } = JSON.parse(document.querySelector("#chart-data").textContent);
const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true };

const numbered = (values, first) => values.map((loss, place) => ({ epoch: first + place, loss }));
const data = {
  confusion: ({ confused }) => confused.map(([actual, predicted, share]) => ({
    true: classes[actual], predicted: classes[predicted], share })),
  sweep: ({ trials, chosen }) => trials.map(trial => ({
    ...Object.fromEntries(fields.map((name, place) => [name, trial[place]])), chosen: chosen.includes(trial[0]) })),
  curves: ({ seeds }) => seeds.flatMap(({ seed, first, training, validation }) => [
    ...numbered(training, first).map(each => ({ ...each, seed, split: "training" })),
    ...numbered(validation, first).map(each => ({ ...each, seed, split: "validation" }))]),
};

function draw(place, spec, values) {
  return vegaEmbed(place, { ...spec, data: { values } }, options);
}

function drawPareto(cost) {
  draw("#pareto-chart", pareto.specs[cost], pareto.points);
  document.querySelectorAll("[data-front]").forEach(front => { front.hidden = front.dataset.front !== cost; });
}

const cost = document.querySelector("#cost");
if (cost) {
  cost.closest("form").hidden = false;
  cost.addEventListener("input", () => drawPareto(cost.value));
  drawPareto(cost.value);
}

const waiting = new Set(document.querySelectorAll("[data-chart]"));
function drawCell(place) {
  if (!waiting.delete(place)) return;
  near.unobserve(place);
  const { chart, cell, label } = place.dataset;
  draw(place, { ...specs[chart], description: label }, data[chart](cells[cell]));
}
const near = new IntersectionObserver(
  seen => seen.filter(each => each.isIntersecting).forEach(each => drawCell(each.target)), { rootMargin: "400px" });
waiting.forEach(place => near.observe(place));
addEventListener("beforeprint", () => [...waiting].forEach(drawCell));
