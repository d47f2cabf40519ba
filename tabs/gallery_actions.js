// What is done with the chosen pictures: stars, boards, the slider, the trash, zip files.
const bar = find(".gallery-bar"), undo = find(".gallery-undo"), boards = find(".gallery-boards");
const compare = find(".gallery-compare"), download = find(".gallery-download"), frame = find("iframe");
const button = (name) => bar.querySelector(`[data-do=${name}]`);
const pictures = (number) => `${number.toLocaleString()} picture${number === 1 ? "" : "s"}`;
let deleted = [];

function showBar() {
  const number = chosen.size, entries = [...chosen].map((id) => list.entries.get(id).entry);
  count.textContent = number ? `${number.toLocaleString()} of ${pictures(list.total)} chosen` : pictures(list.total);
  const areStarred = number > 0 && entries.every((entry) => entry.starred);
  button("star").textContent = areStarred ? "Take star" : "Star";
  button("zip").textContent = number ? "Download zip" : "Download all";
  for (const name of ["star", "board", "delete"]) button(name).disabled = !number;
  button("compare").disabled = number !== 2;
  button("zip").disabled = !list.total;
  button("restore").disabled = !number;
  button("empty").disabled = !list.total;
  for (const name of ["star", "board", "compare", "zip", "delete"]) button(name).hidden = isTrash();
  for (const name of ["restore", "empty"]) button(name).hidden = !isTrash();
}

const actions = {
  async star() {
    const all = [...chosen], starred = !all.every((id) => list.entries.get(id).entry.starred);
    await ask("/star", { identifiers: all, starred });
    for (const id of all) {
      const { entry, tile } = list.entries.get(id);
      entry.starred = starred;
      describe(tile, entry);
    }
    showBar();
  },
  board() {
    boards.querySelector(".gallery-problem").hidden = true;
    boards.showModal();
  },
  take: () => putOnBoard(false),
  compare() {
    const [first, second] = ids().filter((id) => chosen.has(id)).map((id) => list.entries.get(id).entry);
    const pair = find(".gallery-pair"), [before, after] = pair.querySelectorAll("img");
    pair.style.aspectRatio = `${first.width} / ${first.height}`;
    pair.style.maxWidth = `calc(70vh * ${first.width / first.height})`;
    before.src = `api/pictures/${first.id}/file`;
    after.src = `api/pictures/${second.id}/file`;
    const [left, right] = compare.querySelectorAll("bdi");
    left.textContent = nameOf(first);
    right.textContent = nameOf(second);
    compare.showModal();
    cut();
  },
  async delete() {
    const all = [...chosen], after = tiles().find((tile, at) => at > lastChosen() && !chosen.has(tile.dataset.id));
    await ask("/delete", { identifiers: all });
    deleted = all;
    undo.firstElementChild.textContent = `${pictures(all.length)} deleted.`;
    undo.hidden = false;
    remove(all);
    if (after) focusOn(after);
  },
  async undo() {
    await ask("/restore", { identifiers: deleted });
    undo.hidden = true;
    await load(true);
  },
  dismiss() { undo.hidden = true; },
  async restore() {
    const all = [...chosen];
    await ask("/restore", { identifiers: all });
    remove(all);
  },
  async empty() {
    if (!confirm("Remove all pictures in the trash for good?")) return;
    await ask("/empty-trash", {});
    undo.hidden = true;
    await load(true);
  },
  zip() {
    const field = download.firstElementChild;
    field.name = chosen.size ? "identifiers" : "search";
    field.value = chosen.size ? [...chosen].join(" ") : list.question;
    download.submit();
  },
  close() { boards.close(); compare.close(); },
};

const nameOf = (entry) => (entry.seed === null ? entry.file : `Seed ${entry.seed}`);
const lastChosen = () => Math.max(...ids().map((id, at) => (chosen.has(id) ? at : -1)));

function remove(gone) {
  for (const id of gone) {
    list.entries.get(id)?.tile.remove();
    list.entries.delete(id);
    chosen.delete(id);
  }
  for (const line of grid.querySelectorAll(".gallery-day")) {
    if (!line.nextElementSibling?.matches(".gallery-tile")) line.remove();
  }
  list.total -= gone.length;
  grid.querySelector(".gallery-empty").hidden = list.total > 0;
  showChosen();
  loadChoices().catch(() => {});
  fillScreen();
}

async function putOnBoard(on) {
  const field = boards.querySelector("input"), line = boards.querySelector(".gallery-problem");
  try {
    await ask("/board", { identifiers: [...chosen], board: field.value, on });
    boards.close();
    await loadChoices();
    if (filters.elements.view.value.startsWith("board ")) await load(true);
  } catch (error) {
    line.textContent = error.message;
    line.hidden = false;
  }
}

const act = (name) => {
  if (!actions[name] || bar.querySelector(`[data-do=${name}]`)?.disabled) return;
  Promise.resolve(actions[name]()).catch(complain);
};
view.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-do]");
  if (pressed) act(pressed.dataset.do);
});
boards.querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); putOnBoard(true); });

const slider = compare.querySelector("input");
const cut = () => find(".gallery-pair").style.setProperty("--cut", `${slider.value}%`);
slider.addEventListener("input", cut);
find(".gallery-pair").addEventListener("pointermove", (event) => {
  if (!event.buttons) return;
  const box = event.currentTarget.getBoundingClientRect();
  slider.value = (100 * (event.clientX - box.left)) / box.width;
  cut();
});

// A zip file that is refused comes as a sentence into the frame, which is shown.
frame.addEventListener("load", () => {
  const text = frame.contentDocument?.body?.textContent.trim();
  if (!text) return;
  try { complain(new Error(JSON.parse(text).message)); } catch { complain(new Error("The pictures could not be fetched.")); }
});
