// What is pressed stays under the finger: an answer that is under way would move it. Sending the form reads all anew.
const form = document.getElementById("import");
form.addEventListener("pointerdown", (event) => {
  if (event.target.closest("button")) htmx.trigger(form, "htmx:abort");
});
