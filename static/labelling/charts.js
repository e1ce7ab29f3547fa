// The two plots of the project page, drawn from the figures that the page carries.
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(name).trim();
const points = JSON.parse(document.getElementById("points")?.textContent ?? "[]");

function line(label, key, name, axis = "y") {
  return {
    label,
    data: points.map((point) => point[key]),
    borderColor: colour(name),
    backgroundColor: colour(name),
    yAxisID: axis,
    spanGaps: true,
    clip: false,
  };
}

function draw(id, datasets, scales) {
  const canvas = document.getElementById(id);
  if (!canvas) return;
  const axis = { grid: { color: colour("--line") }, ticks: { color: colour("--muted") } };
  for (const scale of Object.values(scales)) Object.assign(scale, { ...axis, ...scale, ticks: { ...axis.ticks, ...scale.ticks } });
  new Chart(canvas, {
    type: "line",
    data: { labels: points.map((point) => `Round ${point.round}`), datasets },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      plugins: { legend: { position: "bottom", labels: { color: colour("--ink"), boxWidth: 12 } } },
      scales: { x: { ...axis, offset: true }, ...scales },
    },
  });
}

const share = (value) => `${Math.round(value * 1000) / 10} %`;
draw(
  "quality",
  [
    line("Holdout accuracy", "holdout_accuracy", "--good"),
    line("Judge acceptance", "acceptance", "--accent"),
    line("Judge and reviewers agree", "agreement", "--warn"),
    line("Expected gain", "expected_gain", "--muted", "right"),
  ],
  {
    y: { min: 0, max: 1, ticks: { callback: share } },
    right: { beginAtZero: true, position: "right", grid: { drawOnChartArea: false }, title: { display: true, text: "Nats an answer", color: colour("--muted") } },
  },
);
draw(
  "amounts",
  [line("Uncertain documents", "uncertain", "--bad"), line("Training examples", "training_examples", "--accent", "right")],
  {
    y: { beginAtZero: true, title: { display: true, text: "Uncertain", color: colour("--muted") } },
    right: { beginAtZero: true, position: "right", grid: { drawOnChartArea: false }, title: { display: true, text: "Training examples", color: colour("--muted") } },
  },
);
