// The filter of the practice page. It remembers nothing.
(() => {
  const box = document.querySelector(".practice-filter");
  if (!box) return;
  const find = document.getElementById("practice-find");
  const kinds = [...document.querySelectorAll("[name=practice-kind]")];
  const cards = [...document.querySelectorAll(".practice-card")];
  const show = () => {
    const words = find.value.toLowerCase().split(/\s+/);
    const wanted = kinds.filter((kind) => kind.checked).map((kind) => kind.value);
    let left = 0;
    for (const card of cards) {
      const text = card.textContent.toLowerCase();
      card.hidden = !wanted.includes(card.dataset.kind) || !words.every((word) => text.includes(word));
      left += !card.hidden;
    }
    document.getElementById("practice-count").textContent = `${left} of ${cards.length}`;
  };
  box.hidden = false;
  box.addEventListener("input", show);
  show();
})();
