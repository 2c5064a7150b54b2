// Photographs are dropped and sent a few at a time; keys move through the list of cases.
const token = document.querySelector("meta[name=csrf]").content;
const AGAIN = 150, LONGEST = 8000; // ms between two questions for an answer
const AT_ONCE = 4; // photographs sent and not answered yet

const drop = document.querySelector("[data-drop]");
if (drop) {
  const list = drop.querySelector("[data-sent]"), bar = drop.querySelector("progress"), status = drop.querySelector("[data-status]");
  const count = { sent: 0, done: 0, waiting: [], busy: 0 };

  const filesOf = async (entry) => {
    if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
    const reader = entry.createReader(), files = [];
    for (;;) { // a folder is read in parts, until an empty one
      const part = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!part.length) return files;
      for (const inner of part) files.push(...await filesOf(inner));
    }
  };

  const shown = () => {
    bar.max = Math.max(1, count.sent);
    bar.value = count.done;
    status.textContent = `${count.done} of ${count.sent} photographs answered.`;
  };

  const row = (name) => {
    const item = document.createElement("li"), title = document.createElement("span"), state = document.createElement("span");
    title.textContent = name;
    state.textContent = "waiting";
    item.append(title, state);
    list.append(item);
    return { item, state };
  };

  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  const send = async (file) => {
    const form = new FormData();
    for (const field of drop.querySelectorAll("[data-detail]")) if (field.value) form.set(field.name, field.value);
    form.set("photographs", file, file.name);
    for (;;) {
      const answer = await fetch("/api/photographs", { method: "POST", body: form, headers: { "X-CSRF-Token": token } });
      if (answer.status !== 429) return { ok: answer.ok, body: await answer.json() };
      await pause(1000 * Number(answer.headers.get("Retry-After") || 1));
    }
  };

  const answered = async (sha256) => {
    for (let wait = AGAIN; ; wait = Math.min(LONGEST, wait * 1.3)) {
      const answer = await fetch(`/api/photographs/${sha256}`);
      const body = await answer.json();
      if (!answer.ok) throw new Error(body.error || "is not answered");
      if (body.state !== "accepted") return body;
      await pause(wait);
    }
  };

  const follow = async (file, { item, state }) => {
    try {
      state.textContent = "sending";
      const { ok, body } = await send(file);
      const photograph = body.photographs && body.photographs[0];
      if (!ok || !photograph || !photograph.sha256) {
        throw new Error((photograph && photograph.error) || body.error || "was not accepted");
      }
      state.textContent = "being graded";
      const result = await answered(photograph.sha256);
      state.textContent = result.decision || (result.status === "unreadable" ? result.reason : result.state);
      item.dataset.state = "answered";
      if (result.case) {
        const link = document.createElement("a");
        link.href = `/cases/${result.case}`;
        link.textContent = state.textContent;
        state.replaceChildren(link);
      }
      for (const text of result.advice || []) {
        const advice = document.createElement("span");
        advice.className = "advice";
        advice.textContent = `Photograph again: ${text}`;
        item.append(advice);
      }
    } catch (error) {
      state.textContent = error.message;
      state.className = "error";
      item.dataset.state = "refused";
    }
    count.done += 1;
    shown();
  };

  const work = async () => { // few at once: the service has a queue of its own, in which others wait too
    count.busy += 1;
    while (count.waiting.length) await follow(...count.waiting.shift());
    count.busy -= 1;
    if (count.busy) return;
    status.textContent += " The list below is of before; load it again to see them.";
    drop.querySelector("[data-reload]").hidden = false;
  };

  const add = (files) => {
    for (const file of files) { count.sent += 1; count.waiting.push([file, row(file.name)]); }
    bar.hidden = false;
    shown();
    while (count.busy < Math.min(AT_ONCE, files.length)) work();
  };

  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
    const files = entries.length ? (await Promise.all(entries.map(filesOf))).flat() : [...event.dataTransfer.files];
    add(files);
  });
  for (const input of drop.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => { add([...input.files]); input.value = ""; });
  }
  drop.querySelector("[data-reload]").addEventListener("click", () => location.reload());
}

const rows = [...document.querySelectorAll("[data-case]")];
let at = -1;
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "j" || event.key === "k") {
    if (!rows.length) return;
    if (at >= 0) rows[at].classList.remove("current");
    at = Math.min(rows.length - 1, Math.max(0, at + (event.key === "j" ? 1 : -1)));
    rows[at].classList.add("current");
    rows[at].querySelector("a").focus();
  }
});
