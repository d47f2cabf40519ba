// The gallery's list: searched, loaded page by page while it is scrolled, and chosen from. Runs when the tab is first
// opened; `element` is the component and `trigger` tells Gradio which picture is chosen. Whatever a person wrote is put in
// as text, never as HTML.
const find = (selector) => element.querySelector(selector);
const view = find(".gallery-view"), filters = find(".gallery-filters"), grid = find(".gallery-grid");
const end = find(".gallery-end"), problem = find(".gallery-problem"), count = find(".gallery-count");
const SETTLED = 250; // milliseconds after the last key of a search
const list = { entries: new Map(), next: "", total: 0, question: null, turn: 0, loading: false, day: "" };
const chosen = new Set();
let anchor = null, told = "";

async function ask(path, body) {
  const options = body && { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const answer = await fetch(`api/pictures${path}`, options || {});
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.message || `The server answered ${answer.status}.`);
  return content;
}

function complain(error) {
  const sentence = error ? error.message : "";
  problem.textContent = error instanceof TypeError ? "The server cannot be reached." : sentence;
  problem.hidden = !sentence;
}

const quoted = (text) => `"${text.replace(/["\\]/g, "\\$&")}"`;
const isTrash = () => filters.elements.view.value === "trash";

// The filters as one search.
function question() {
  const value = (name) => filters.elements[name].value;
  const shown = value("view");
  const terms = [value("search").trim()];
  if (shown === "starred") terms.push("starred:yes");
  if (shown === "trash") terms.push("deleted:yes");
  if (shown.startsWith("board ")) terms.push(`board:=${quoted(shown.slice(6))}`);
  for (const name of ["checkpoint", "lora"]) if (value(name)) terms.push(`${name}:=${quoted(value(name))}`);
  for (const name of ["after", "until"]) if (value(name)) terms.push(`${name}:${value(name)}`);
  return terms.filter(Boolean).join(" ");
}

// The first page of a search that is begun anew, or the next one of the search that is shown.
async function load(anew) {
  if (!anew && (list.loading || !list.next)) return;
  const turn = anew ? ++list.turn : list.turn;
  const wanted = anew ? question() : list.question;
  list.loading = true;
  try {
    const after = anew ? "" : list.next;
    const page = await ask(`?search=${encodeURIComponent(wanted)}&after=${encodeURIComponent(after)}`);
    if (turn !== list.turn) return;
    if (anew) clear(wanted, page.total);
    append(page);
    complain(null);
  } catch (error) {
    if (turn === list.turn) complain(error);
  } finally {
    if (turn === list.turn) list.loading = false;
  }
  if (turn === list.turn) requestAnimationFrame(fillScreen);
}

function fillScreen() {
  if (list.next && problem.hidden && end.offsetTop < grid.scrollTop + 2 * grid.clientHeight) load(false);
}

function clear(wanted, total) {
  for (const tile of [...grid.children]) if (tile !== end && !tile.matches(".gallery-empty")) tile.remove();
  Object.assign(list, { question: wanted, total, day: "" });
  list.entries.clear();
  grid.scrollTop = 0;
  const left = grid.querySelector(".gallery-empty");
  left.textContent = wanted ? "No picture is found." : "Pictures that are made stand here.";
  left.hidden = total > 0;
}

function append(page) {
  const added = document.createDocumentFragment();
  for (const entry of page.pictures) {
    if (list.entries.has(entry.id)) continue;
    const day = new Date(entry.created * 1000).toLocaleDateString(undefined, { dateStyle: "full" });
    if (day !== list.day) added.append(heading(day));
    list.day = day;
    const tile = tileOf(entry);
    list.entries.set(entry.id, { entry, tile });
    added.append(tile);
  }
  list.next = page.next;
  grid.insertBefore(added, end);
  for (const id of [...chosen]) if (!list.entries.has(id)) chosen.delete(id);
  showChosen();
}

function heading(day) {
  const line = document.createElement("p");
  line.className = "gallery-day";
  line.setAttribute("role", "presentation");
  line.textContent = day;
  return line;
}

function tileOf(entry) {
  const tile = document.createElement("div"), image = document.createElement("img"), box = document.createElement("i");
  tile.className = "gallery-tile";
  tile.id = `picture-${entry.id}`;
  tile.dataset.id = entry.id;
  tile.setAttribute("role", "option");
  tile.tabIndex = -1;
  tile.title = entry.caption;
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = "";
  image.addEventListener("error", () => tile.classList.add("broken"));
  image.src = `api/pictures/${entry.id}/thumbnail`;
  box.dataset.toggle = "";
  tile.append(image, box);
  describe(tile, entry);
  return tile;
}

function describe(tile, entry) {
  tile.classList.toggle("starred", entry.starred);
  tile.setAttribute("aria-label", `${entry.caption || entry.kind}${entry.starred ? ", starred" : ""}`);
}

// What can be narrowed to: checkpoints, LoRAs, boards.
async function loadChoices() {
  const choices = await ask("/choices");
  offer(filters.elements.checkpoint, choices.checkpoints, (name) => name, 1);
  offer(filters.elements.lora, choices.loras, (name) => name, 1);
  const boards = find("[data-choices=boards]");
  offer(boards, choices.boards, (name) => `board ${name}`, 0);
  boards.hidden = !Object.keys(choices.boards).length;
  offer(find("datalist"), choices.boards, (name) => name, 0);
}

function offer(place, counts, value, kept) {
  const select = place.closest("select"), before = select?.value;
  while (place.children.length > kept) place.lastChild.remove();
  for (const [name, number] of Object.entries(counts)) {
    const option = document.createElement("option");
    option.value = value(name);
    option.textContent = select ? `${name} (${number.toLocaleString()})` : name;
    place.append(option);
  }
  if (select) select.value = before;
  if (select && select.selectedIndex < 0) select.value = "";
}

// Choosing.
const tiles = () => [...list.entries.values()].map((each) => each.tile);
const ids = () => [...list.entries.keys()];

function choose(id, how) {
  if (how === "range" && list.entries.has(anchor)) {
    const all = ids(), [from, to] = [all.indexOf(anchor), all.indexOf(id)].sort((a, b) => a - b);
    chosen.clear();
    all.slice(from, to + 1).forEach((each) => chosen.add(each));
  } else {
    if (how !== "toggle") chosen.clear();
    if (!chosen.delete(id)) chosen.add(id);
    anchor = id;
  }
  showChosen();
}

function showChosen() {
  for (const { entry, tile } of list.entries.values()) {
    const is = chosen.has(entry.id);
    if ((tile.getAttribute("aria-selected") === "true") !== is || !tile.hasAttribute("aria-selected"))
      tile.setAttribute("aria-selected", String(is));
  }
  showBar();
  const only = chosen.size === 1 ? [...chosen][0] : "";
  if (only !== told) trigger("select", { index: 0, value: (told = only) });
}

grid.addEventListener("click", (event) => {
  const tile = event.target.closest("[data-id]");
  if (!tile) return;
  const isToggle = event.ctrlKey || event.metaKey || event.target.hasAttribute("data-toggle");
  choose(tile.dataset.id, event.shiftKey ? "range" : isToggle ? "toggle" : "only");
  focusOn(tile);
});

function focusOn(tile) {
  grid.querySelector("[tabindex='0']")?.setAttribute("tabindex", "-1");
  grid.tabIndex = -1;
  tile.tabIndex = 0;
  tile.focus({ preventScroll: false });
}

// The tile that stands `steps` before or after; up and down the nearest of the next row.
function neighbour(tile, key) {
  const all = tiles(), at = all.indexOf(tile);
  if (key === "Home") return all[0];
  if (key === "End") return all[all.length - 1];
  if (key === "ArrowLeft" || key === "ArrowRight") return all[at + (key === "ArrowRight" ? 1 : -1)];
  const direction = key === "ArrowDown" ? 1 : -1;
  const others = direction > 0 ? all.slice(at + 1) : all.slice(0, at).reverse();
  const row = others.find((other) => other.offsetTop !== tile.offsetTop)?.offsetTop;
  const distance = (other) => Math.abs(other.offsetLeft - tile.offsetLeft);
  return others.filter((other) => other.offsetTop === row).sort((a, b) => distance(a) - distance(b))[0];
}

grid.addEventListener("keydown", (event) => {
  const tile = event.target.closest("[data-id]") || tiles()[0];
  if (!tile || event.altKey) return;
  const isLetter = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "a";
  if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
    const next = event.target === grid ? tile : neighbour(tile, event.key);
    if (next) focusOn(next);
    if (next && event.shiftKey) choose(next.dataset.id, "range");
  } else if (event.key === " ") choose(tile.dataset.id, "toggle");
  else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) choose(tile.dataset.id, "only");
  else if (event.key === "Delete") act(isTrash() ? "" : "delete");
  else if (event.key === "Escape") { chosen.clear(); showChosen(); }
  else if (isLetter) { ids().forEach((id) => chosen.add(id)); showChosen(); }
  else return;
  event.preventDefault();
});

// When to load.
let waiting = 0;
const soon = (delay) => { clearTimeout(waiting); waiting = setTimeout(() => load(true), delay); };
filters.addEventListener("input", (event) => soon(event.target.name === "search" ? SETTLED : 0));
filters.addEventListener("reset", () => soon(0));
filters.addEventListener("submit", (event) => { event.preventDefault(); soon(0); });
grid.addEventListener("scroll", fillScreen, { passive: true });

// What was made meanwhile is looked for whenever the tab is opened.
async function lookAgain() {
  const isFirst = list.question === null, listed = isFirst ? load(true) : null;
  loadChoices().catch(() => {});
  if (isFirst) return listed;
  const page = await ask(`?search=${encodeURIComponent(question())}`).catch(() => null);
  const isSame = page && page.total === list.total && page.pictures.every(({ id }) => list.entries.has(id));
  if (!isSame) await load(true);
}
let wasAway = true; // on another tab, not only scrolled out of sight
new IntersectionObserver(([seen]) => {
  if (!seen.isIntersecting) wasAway = view.offsetParent === null;
  else if (wasAway) { wasAway = false; lookAgain(); }
}).observe(view);
