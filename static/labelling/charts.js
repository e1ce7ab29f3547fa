// The plots of the project's and the judge's page, drawn from the figures that the pages carry.
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(name).trim();
const points = JSON.parse(document.getElementById("points")?.textContent ?? "[]");

const share = (value) => `${Math.round(value * 1000) / 10} %`;

// One question, one line: what it shows stands beside it in words.
function drawRounds(canvas) {
  const axis = { grid: { color: colour("--line") }, ticks: { color: colour("--muted") } };
  const { key, round, isShare } = canvas.dataset;
  const y = isShare ? { min: 0, max: 1, ticks: { ...axis.ticks, callback: share } } : { beginAtZero: true, ticks: { ...axis.ticks, precision: 0 } };
  new Chart(canvas, {
    type: "line",
    data: {
      labels: points.map((point) => `${round} ${point.round}`),
      datasets: [{ data: points.map((point) => point[key]), borderColor: colour("--accent"), backgroundColor: colour("--accent"), spanGaps: true, clip: false }],
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      plugins: { legend: { display: false } },
      scales: { x: { ...axis, offset: true }, y: { ...axis, ...y } },
    },
  });
}
document.querySelectorAll("canvas[data-key]").forEach(drawRounds);

// Rates with their intervals: a bar from the lower bound to the upper one, and a stroke at the value.
const judges = JSON.parse(document.getElementById("interval-data")?.textContent ?? "[]");
const strokes = {
  id: "strokes",
  afterDatasetsDraw(chart) {
    chart.ctx.fillStyle = colour("--ink");
    judges.forEach((judge, index) =>
      chart.getDatasetMeta(index).data.forEach((bar, row) => {
        const { value } = judge.rates[row];
        if (value !== null) chart.ctx.fillRect(chart.scales.x.getPixelForValue(value) - 1, bar.y - bar.height / 2 - 3, 3, bar.height + 6);
      }),
    );
  },
};

// On a phone a name takes two lines.
function broken(name) {
  const middle = name.indexOf(" ", name.length / 3);
  return innerWidth > 600 || middle < 0 ? name : [name.slice(0, middle), name.slice(middle + 1)];
}

function drawIntervals(canvas) {
  const colours = ["--accent", "--warn", "--good", "--muted"].map(colour);
  const axis = { grid: { color: colour("--line") }, ticks: { color: colour("--muted") } };
  const lows = judges.flatMap((judge) => judge.rates.map((rate) => rate.low ?? 0));
  const said = ({ value, low, high, n }) => (value === null ? `nothing is claimed from ${n}` : `${value.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)}), n = ${n}`);
  new Chart(canvas, {
    type: "bar",
    data: {
      labels: judges[0].rates.map((rate) => broken(rate.name)),
      datasets: judges.map((judge, index) => ({
        label: judge.judge,
        data: judge.rates.map((rate) => (rate.value === null ? null : [rate.low, rate.high])),
        backgroundColor: colours[index],
        borderSkipped: false,
        borderRadius: 3,
        maxBarThickness: 10,
      })),
    },
    options: {
      indexAxis: "y",
      animation: false,
      maintainAspectRatio: false,
      plugins: {
        legend: { position: "bottom", labels: { color: colour("--ink"), boxWidth: 12 } },
        tooltip: { callbacks: { label: ({ datasetIndex, dataIndex }) => said(judges[datasetIndex].rates[dataIndex]) } },
      },
      scales: { x: { ...axis, min: Math.floor(Math.min(0, ...lows) * 10) / 10, max: 1 }, y: { ...axis, ticks: { color: colour("--ink") } } },
    },
    plugins: [strokes],
  });
}
if (judges.length) drawIntervals(document.getElementById("intervals"));

// What a certificate's looks found: at most so many wrong, by number of audits, and the limit.
const bounds = JSON.parse(document.getElementById("bound-data")?.textContent ?? "[]");
function drawBounds(canvas) {
  const axis = { grid: { color: colour("--line") }, ticks: { color: colour("--muted") } };
  const drawn = (name, key, shade, style) => ({
    label: name,
    data: bounds.map((look) => ({ x: look.n, y: look[key] })),
    borderColor: colour(shade),
    backgroundColor: colour(shade),
    ...style,
  });
  new Chart(canvas, {
    type: "line",
    data: {
      datasets: [
        drawn(canvas.dataset.bound, "bound", "--accent", { spanGaps: true }),
        drawn(canvas.dataset.limit, "limit", "--bad", { borderDash: [6, 4], pointRadius: 0 }),
      ],
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      plugins: { legend: { position: "bottom", labels: { color: colour("--ink"), boxWidth: 12 } } },
      scales: {
        x: { ...axis, type: "linear", beginAtZero: true, ticks: { ...axis.ticks, precision: 0 }, title: { display: true, text: canvas.dataset.audits, color: colour("--muted") } },
        y: { ...axis, beginAtZero: true, ticks: { ...axis.ticks, callback: share } },
      },
    },
  });
}
if (bounds.length) drawBounds(document.getElementById("bounds"));
