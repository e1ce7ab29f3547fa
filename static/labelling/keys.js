// The keys: pressing one clicks or focuses what names it in data-key. Everything else is htmx and plain forms.
function typing(target) {
  return target.matches("input, textarea, select, [contenteditable]") && !["checkbox", "radio"].includes(target.type);
}

// What a key means, whatever the keyboard's layout: what it types, and where that is no help (digits that need Shift
// on a French keyboard, letters of another script), where it lies.
function meaning({ key, code, shiftKey }) {
  if (key.length > 1 && key !== "Dead") return key;
  if (key === "/" || key === "?" || /^[0-9]$/.test(key)) return key;
  const [, kind, at] = /^(Key|Digit|Numpad)([A-Z0-9])$/.exec(code) ?? [];
  if (/^[a-z]$/i.test(key)) return (shiftKey ? "shift+" : "") + key.toLowerCase();
  if (kind === "Key" && !/^\p{Script=Latin}$/u.test(key)) return (shiftKey ? "shift+" : "") + at.toLowerCase();
  if (kind && kind !== "Key" && !shiftKey) return at;
  return code === "Slash" ? (shiftKey ? "?" : "/") : key;
}

function toggleDialog(dialog) {
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (!opener) return;
  event.preventDefault();
  toggleDialog(document.getElementById(opener.dataset.opens));
});

document.addEventListener("keydown", (event) => {
  const review = document.getElementById("review");
  if (event.key === "Escape" && typing(event.target)) event.target.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  if (review.dataset.keys === "off" || typing(event.target)) return;
  // Enter on a focused button or link does what that button says.
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  const wanted = review.querySelector(`[data-key="${CSS.escape(meaning(event))}"]`);
  const open = review.querySelector("dialog[open]");
  if (!wanted || wanted.disabled || (open && wanted.dataset.opens !== open.id)) return;
  event.preventDefault();
  if (wanted.matches("input")) wanted.focus();
  else wanted.click();
  if (wanted.matches("summary")) wanted.parentElement.scrollIntoView({ block: "nearest" });
});
