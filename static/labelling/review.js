// The keys: pressing one clicks the button that names it in data-key. Everything else is htmx and plain forms.
function typing(target) {
  return target.matches("input, textarea, select") && target.type !== "checkbox" && target.type !== "radio";
}

// The best match for what is typed: who types fast is ahead of the list, which is then waited for.
function takeBest(search) {
  const wanted = search.value;
  const found = document.getElementById("found");
  const take = () => {
    const list = found.querySelector("[data-query]");
    if (search.value === wanted && list?.dataset.query === wanted) list.querySelector("button")?.click();
  };
  if (found.querySelector("[data-query]")?.dataset.query === wanted) take();
  else found.addEventListener("htmx:afterSwap", take, { once: true });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  if (event.key === "Escape" && typing(event.target)) event.target.blur();
  if (typing(event.target)) {
    // Enter in the search takes its best match.
    if (event.key === "Enter" && event.target.id === "label-search") {
      event.preventDefault();
      takeBest(event.target);
    }
    return;
  }
  // Enter on a focused button or link does what that button says.
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const wanted = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!wanted || wanted.disabled) return;
  event.preventDefault();
  if (wanted.matches("input")) wanted.focus();
  else wanted.click();
});

// The next document has arrived: let keys and screen readers start at its text, not in the search of the last one.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.requestConfig.verb === "post") document.querySelector("#review .text")?.focus({ preventScroll: true });
});

// A request that did not arrive: say so and keep the page as it is.
for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
  document.addEventListener(name, (event) => {
    if (event.detail.requestConfig?.verb === "post") document.querySelector("#not-saved").hidden = false;
  });
}
