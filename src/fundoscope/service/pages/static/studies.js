// A table in a file fills the text area of a form. Without a script the table can be pasted.
for (const input of document.querySelectorAll("[data-fills]")) {
  input.addEventListener("change", async () => {
    if (input.files.length) document.getElementById(input.dataset.fills).value = await input.files[0].text();
  });
}
