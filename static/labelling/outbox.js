// Nothing that is decided gets lost: it is kept in the browser until the server has answered, and sent again by itself.
// The server takes the same decision twice for one.
const FIRST_PAUSE = 1000; // ms
const LONGEST_PAUSE = 15000;

let pause = FIRST_PAUSE;
let timer = null;
let failing = false;

const review = () => document.getElementById("review");
const waiting = () => Object.keys(localStorage).filter((key) => key.startsWith(`${review().dataset.keep} `));

// One for each thing that is decided on: a second choice takes the first one's place.
function keyOf({ path, formData }) {
  return [review().dataset.keep, path, formData.get("decision") ?? formData.get("comment") ?? ""].join(" ");
}

function show(how, choice) {
  const said = document.getElementById("not-saved");
  said.querySelector("span").textContent = said.dataset[how];
  said.querySelector("strong").textContent = choice;
  said.hidden = false;
  // Also the first choice of all can be taken back.
  if (how === "waits") document.querySelector("#review [data-key=Backspace]").disabled = false;
}

function announce(text) {
  document.getElementById("said").textContent = text;
}

function isOurs({ verb, target }) {
  return verb === "post" && target?.id === "review";
}

// Send what waits, one after the other; what was sent and got no answer comes first.
function sendWaiting() {
  clearTimeout(timer);
  const key = waiting()[0];
  if (!key) return;
  const { path, values, says } = JSON.parse(localStorage.getItem(key));
  show("waits", says);
  htmx.ajax("POST", path, { target: "#review", swap: "outerHTML show:window:top", values: { ...values, says } });
}

document.addEventListener("htmx:configRequest", (event) => {
  const { detail } = event;
  if (!isOurs(detail)) return;
  const button = detail.triggeringEvent?.submitter;
  if (button) pause = FIRST_PAUSE;
  // htmx sends the buttons inside a form, not those elsewhere that name it.
  if (button?.name) detail.formData.set(button.name, button.value);
  if (button?.matches("[data-undoes]") && failing) {
    // What could not be sent is taken back here.
    event.preventDefault();
    waiting().forEach((key) => localStorage.removeItem(key));
    clearTimeout(timer);
    failing = false;
    announce(document.getElementById("not-saved").dataset.undone);
    document.getElementById("not-saved").hidden = true;
    return;
  }
  const says = detail.formData.get("says") ?? button?.dataset.says ?? "";
  for (const name of ["csrfmiddlewaretoken", "says"]) detail.formData.delete(name);
  // The token changes with each login, in another tab too.
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
  if (token) detail.headers["x-csrftoken"] = token;
  const values = Object.fromEntries(detail.formData);
  localStorage.setItem(keyOf(detail), JSON.stringify({ path: detail.path, values, says }));
});

// Something has answered, perhaps with the login page: there is nothing to be warned of.
document.addEventListener("htmx:beforeOnLoad", ({ detail }) => {
  if (isOurs(detail.requestConfig) || detail.xhr.getResponseHeader("HX-Refresh")) failing = false;
});

for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
  document.addEventListener(name, (event) => {
    const { requestConfig, xhr } = event.detail;
    if (!requestConfig || !isOurs(requestConfig)) return;
    const key = keyOf(requestConfig);
    const says = JSON.parse(localStorage.getItem(key))?.says ?? "";
    if (xhr.status >= 400 && xhr.status < 500) {
      localStorage.removeItem(key);
      failing = false;
      show("refused", says);
      return;
    }
    failing = true;
    show("waits", says);
    clearTimeout(timer);
    timer = setTimeout(sendWaiting, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  });
}

// The server has answered. Let keys and screen readers start at the next document's text.
document.addEventListener("htmx:afterSwap", (event) => {
  const { requestConfig } = event.detail;
  if (event.target.id !== "review" || !isOurs(requestConfig)) return;
  localStorage.removeItem(keyOf(requestConfig));
  failing = false;
  pause = FIRST_PAUSE;
  clearTimeout(timer);
  announce([...document.querySelectorAll("#review .message")].map((message) => message.textContent).join(" "));
  document.querySelector("#review .text")?.focus({ preventScroll: true });
  sendWaiting();
});

window.addEventListener("online", sendWaiting);
window.addEventListener("beforeunload", (event) => failing && event.preventDefault());
document.addEventListener("DOMContentLoaded", sendWaiting);
