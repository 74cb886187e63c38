// The filter of the practice page. It remembers nothing.
(() => {
  const box = document.querySelector(".practice-filter");
  if (!box) return;
  const find = document.getElementById("practice-find");
  const kinds = [...document.querySelectorAll("[name=practice-kind]")];
  const cards = [...document.querySelectorAll(".practice-card")];
  const headings = [...document.querySelectorAll("article h2")];
  const cardsBelow = (heading) => {
    const found = [];
    for (let e = heading.nextElementSibling; e && e.tagName !== "H2"; e = e.nextElementSibling)
      if (e.matches(".practice-card")) found.push(e);
    return found;
  };
  const show = () => {
    const words = find.value.toLowerCase().split(/\s+/);
    const wanted = kinds.filter((kind) => kind.checked).map((kind) => kind.value);
    let left = 0;
    for (const card of cards) {
      const text = card.textContent.toLowerCase();
      card.hidden = !wanted.includes(card.dataset.kind) || !words.every((word) => text.includes(word));
      left += !card.hidden;
    }
    for (const heading of headings) heading.hidden = !cardsBelow(heading).some((card) => !card.hidden);
    document.getElementById("practice-count").textContent =
      left ? `${left} of ${cards.length}` : "Nothing here has these words.";
  };
  box.hidden = false;
  box.addEventListener("input", show);
  show();
})();
