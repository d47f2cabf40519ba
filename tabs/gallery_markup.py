"""The gallery's own HTML, which holds nothing that a person wrote: `gallery.js` puts that in as text."""

SKELETON = """
<div class="gallery-view">
  <form class="gallery-filters" role="search">
    <input type="search" name="search" maxlength="2000" aria-label="Search" autocomplete="off" spellcheck="false"
      placeholder="Search: words of the prompt, seed:7, size:512x768, sampler:euler …">
    <button type="reset">Clear</button>
    <select name="view" aria-label="Which pictures">
      <option value="">All pictures</option><option value="starred">Starred</option>
      <optgroup label="Boards" data-choices="boards" hidden></optgroup>
      <option value="trash">Trash</option>
    </select>
    <select name="checkpoint" aria-label="Checkpoint"><option value="">Any checkpoint</option></select>
    <select name="lora" aria-label="LoRA"><option value="">Any or no LoRA</option></select>
    <div><label>From <input type="date" name="after"></label><label>to <input type="date" name="until"></label></div>
  </form>
  <p class="gallery-problem" role="alert" hidden></p>
  <div class="gallery-bar" role="toolbar" aria-label="Do with the selected pictures">
    <span class="gallery-count" role="status"></span>
    <button type="button" data-do="star">Star</button>
    <button type="button" data-do="board">Board…</button>
    <button type="button" data-do="compare">Compare</button>
    <button type="button" data-do="zip">Download zip</button>
    <button type="button" data-do="delete">Delete</button>
    <button type="button" data-do="restore" hidden>Restore</button>
    <button type="button" data-do="empty" hidden>Empty the trash</button>
  </div>
  <div class="gallery-undo" role="status" hidden>
    <span></span><button type="button" data-do="undo">Undo</button>
    <button type="button" data-do="dismiss" aria-label="Close">×</button>
  </div>
  <div class="gallery-grid" role="listbox" aria-multiselectable="true" aria-label="Pictures" tabindex="0">
    <p class="gallery-empty" role="presentation" hidden></p>
    <div class="gallery-end" role="presentation"></div>
  </div>
  <dialog class="gallery-dialog gallery-boards" aria-label="Boards">
    <form method="dialog">
      <h3>Boards of the selected pictures</h3>
      <input name="board" maxlength="60" list="gallery-board-names" aria-label="Name of a board" autocomplete="off"
        placeholder="Name of a board, new or known">
      <datalist id="gallery-board-names"></datalist>
      <p class="gallery-problem" role="alert" hidden></p>
      <div><button type="submit">Put on it</button>
      <button type="button" data-do="take">Take off it</button>
      <button type="button" data-do="close">Cancel</button></div>
    </form>
  </dialog>
  <dialog class="gallery-dialog gallery-compare" aria-label="Two pictures compared">
    <div class="gallery-pair"><img alt=""><img alt=""><i></i></div>
    <input type="range" min="0" max="100" step="0.1" value="50" aria-label="Where one ends and the other begins">
    <p><bdi></bdi><bdi></bdi></p>
    <button type="button" data-do="close">Close</button>
  </dialog>
  <form class="gallery-download" method="post" action="api/pictures/zip" target="gallery-download" hidden>
    <input type="hidden"></form>
  <iframe name="gallery-download" title="Downloads" hidden></iframe>
</div>
"""
