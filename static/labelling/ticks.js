// One box ticks all of the page; without scripts it is not there.
for (const box of document.querySelectorAll("[data-ticks]")) {
  const all = [...document.querySelectorAll(`input[name="${box.dataset.ticks}"]`)];
  box.closest("[hidden]").hidden = false;
  box.addEventListener("change", () => all.forEach((one) => (one.checked = box.checked)));
}
