// The filter of the practice page. It remembers nothing.
(() => {
  const box = document.querySelector(".practice-filter");
  if (!box) return;
  const find = document.getElementById("practice-find");
  const kinds = [...document.querySelectorAll("[name=practice-kind]")];
  const parts = [...document.querySelectorAll("article h2, .practice-card")];
  const show = () => {
    const words = find.value.toLowerCase().split(/\s+/);
    const wanted = kinds.filter((kind) => kind.checked).map((kind) => kind.value);
    let title, left = 0, all = 0;
    for (const part of parts) {
      if (part.tagName === "H2") {
        title = part;
        title.hidden = true; // until it has a card to show
        continue;
      }
      const text = part.textContent.toLowerCase();
      part.hidden = !wanted.includes(part.dataset.kind) || !words.every((word) => text.includes(word));
      all++;
      if (part.hidden) continue;
      left++;
      title.hidden = false;
    }
    document.getElementById("practice-count").textContent = left ? `${left} of ${all}` : "Nothing has these words.";
  };
  box.hidden = false;
  box.addEventListener("input", show);
  show();
})();
