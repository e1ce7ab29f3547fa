// What a page shows of running work is old once the server stops answering: say so until it answers again.
for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
  document.addEventListener(name, (event) => {
    if (event.detail.requestConfig?.verb === "get") document.getElementById("no-answer").hidden = false;
  });
}
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.successful) document.getElementById("no-answer").hidden = true;
});
