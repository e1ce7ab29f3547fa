// The search for a label, by the ARIA combobox pattern: the arrow keys move through what was found, Enter takes it.
const search = () => document.getElementById("label-search");
const options = () => [...document.querySelectorAll("#found [role=option]")];
const active = () => document.querySelector("#found [aria-selected=true]");

function point(option) {
  active()?.setAttribute("aria-selected", "false");
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest" });
  if (option) search().setAttribute("aria-activedescendant", option.id);
  else search().removeAttribute("aria-activedescendant");
}

function move(step) {
  const all = options();
  const now = all.indexOf(active());
  point(all[now < 0 && step < 0 ? all.length - 1 : (now + step + all.length) % all.length]);
}

// What is pointed at, or the best match for what is typed: who types fast is ahead of the list, which is then waited for.
function take() {
  const wanted = search().value;
  const found = document.getElementById("found");
  const isFound = () => search().value === wanted && found.querySelector("[data-query]")?.dataset.query === wanted;
  if (isFound()) (active() ?? options()[0])?.click();
  else found.addEventListener("htmx:afterSwap", () => isFound() && options()[0]?.click(), { once: true });
}

document.addEventListener("keydown", (event) => {
  if (event.target.id !== "label-search" || event.isComposing) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (options().length) move(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "Enter") {
    event.preventDefault();
    if (event.target.value || active()) take();
  } else if (event.key === "Escape") {
    end();
  }
});

// What was typed a moment ago, or is being answered, would open again what has been closed.
let ended = false;
document.addEventListener("input", (event) => { if (event.target === search()) ended = false; });
document.addEventListener("focusin", (event) => { if (event.target === search()) ended = false; });
document.addEventListener("htmx:beforeRequest", (event) => { if (ended && event.target === search()) event.preventDefault(); });

function end() {
  ended = true;
  htmx.trigger(search(), "htmx:abort");
  search().value = "";
  document.getElementById("found").replaceChildren();
  document.querySelector(".choices").scrollTop = 0;
  expand();
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-ends=search]")) return;
  event.preventDefault();
  end();
});

function expand() {
  search()?.setAttribute("aria-expanded", String(options().length > 0));
  search()?.removeAttribute("aria-activedescendant");
}

document.addEventListener("htmx:afterSwap", (event) => event.target.closest?.("#found") && expand());
