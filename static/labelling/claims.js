// Keeps the document that is open for whoever gives a sign of life; a page that nobody looks at gives it back in time.
const SIGNS = ["keydown", "pointermove", "pointerdown", "wheel", "scroll", "touchstart"];
const LOOK_EVERY = 5000;

let seen = Date.now();
let renewed = Date.now();
let claim = null;

async function renew() {
  renewed = Date.now();
  const asked = claim;
  let response;
  try {
    const headers = JSON.parse(document.body.getAttribute("hx-headers"));
    response = await fetch(asked.dataset.renew, { method: "POST", headers });
  } catch {
    return; // connection.js says that the server does not answer
  }
  if (response.status !== 409 || asked !== claim) return;
  asked.textContent = `${await response.text()} ${asked.dataset.lost}`;
  asked.hidden = false;
  delete asked.dataset.renew;
}

function look() {
  const shown = document.querySelector("#claim[data-renew]");
  if (shown !== claim) {
    claim = shown;
    renewed = Date.now();
  }
  if (!claim || Date.now() - seen > claim.dataset.patience * 1000) return;
  if (Date.now() - renewed >= claim.dataset.every * 1000) renew();
}

for (const name of SIGNS) {
  document.addEventListener(name, () => { seen = Date.now(); }, { passive: true, capture: true });
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  seen = Date.now();
  look();
});
setInterval(look, LOOK_EVERY);
look();
