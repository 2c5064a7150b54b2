// Keys choose a grade while the focus is on one of the choices, and nowhere else: they would be in the way of typing.
for (const form of document.querySelectorAll("[data-choices]")) {
  form.addEventListener("keydown", (event) => {
    if (event.target.type !== "radio" || event.ctrlKey || event.metaKey || event.altKey) return;
    const value = event.key === "u" ? "none" : event.key;
    const choice = [...form.querySelectorAll("input[type=radio]")].find((input) => input.value === value);
    if (!choice) return;
    choice.checked = true;
    choice.focus();
    event.preventDefault();
  });
}
