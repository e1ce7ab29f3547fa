// What is pressed or typed in stays where it is: an answer that is under way would move it, or put it back.
const form = document.getElementById("import");
const abort = () => htmx.trigger(form, "htmx:abort");
let isOwed = false;

form.addEventListener("pointerdown", (event) => {
  if (event.target.closest("button")) abort(); // Sending the form reads all anew.
});
form.addEventListener("focusin", (event) => {
  if (!event.target.matches("input[type=number], input[type=text]") || !form.classList.contains("htmx-request")) return;
  abort();
  isOwed = true;
});
form.addEventListener("input", () => { isOwed = false; });
form.addEventListener("focusout", (event) => {
  if (isOwed && !event.relatedTarget?.closest("button")) htmx.trigger(form, "input");
});
