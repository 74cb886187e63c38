// What a page does beyond its HTML: light and dark, search, copying, contents that follow the reader. No library.
(() => {
	const { body, documentElement: root } = document, { dataset } = body;
	const all = (selector, from = document) => [...from.querySelectorAll(selector)];
	const make = (tag, props, ...kids) => {
		const element = Object.assign(document.createElement(tag), props);
		element.append(...kids);
		return element;
	};
	root.classList.replace("no-js", "js");

	// Light and dark: as the system says, unless a reader has said otherwise.
	const dark = matchMedia("(prefers-color-scheme: dark)"), system = () => (dark.matches ? "slate" : "default");
	const remember = (scheme) => {
		dataset.mdColorScheme = scheme;
		try { scheme === system() ? delete localStorage.scheme : (localStorage.scheme = scheme); } catch {}
	};
	dark.onchange = () => remember(system());
	all(".scheme")[0].onclick = () => remember(dataset.mdColorScheme === "slate" ? "default" : "slate");

	// One line at the foot of the window says what a button did.
	const told = body.appendChild(make("p", { className: "told", role: "status" }));
	let timer;
	const tell = (text) => {
		told.textContent = text;
		clearTimeout(timer);
		timer = setTimeout(() => (told.textContent = ""), 2500);
	};
	const copy = async (text, done) => {
		try { await navigator.clipboard.writeText(text); tell(done); } catch { tell("Your browser does not let this page copy"); }
	};
	const button = (className, text, onclick) => make("button", { type: "button", className, textContent: text, onclick });
	for (const pre of all(".highlight > pre:has(code)")) {
		const text = () => pre.querySelector("code").textContent;
		if (!pre.closest(".qkv, .language-text")) pre.after(button("copy", "Copy", () => copy(text(), "Code copied")));
	}
	// What scrolls sideways can be reached by keyboard.
	const reach = new ResizeObserver((seen) => {
		const wide = seen.map(({ target }) => target.scrollWidth > target.clientWidth);
		seen.forEach(({ target }, i) => (wide[i] ? (target.tabIndex = 0) : target.removeAttribute("tabindex")));
	});
	for (const code of all("pre > code")) reach.observe(code);

	// An address names the place, and of a figure the numbers too.
	const share = (id) => {
		const url = new URL(location);
		url.hash = id;
		history.replaceState(history.state, "", url);
		copy(url.href, "Link copied: it leads to this place");
	};
	for (const link of all(".headerlink")) link.onclick = () => share(link.hash.slice(1));
	for (const bar of all("[id] > .qkv-bar"))
		bar.append(button("share", "Copy link", () => setTimeout(share, 450, bar.parentElement.id)));

	// What an address leads to is unfolded, and stays where it is from then on.
	const unfold = () => {
		delete dataset.fresh;
		const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
		for (let e = place?.closest("details:not([open])"); e; e = e.parentElement.closest("details:not([open])")) e.open = true;
		place?.scrollIntoView();
	};
	addEventListener("hashchange", unfold);
	if (location.hash) unfold();

	// The heading that was read last is marked in the contents.
	const links = new Map(all(".md-sidebar--secondary a[href^='#']").map((a) => [a.hash.slice(1), a]));
	const heads = all("article :is(h2, h3)[id]"), above = new Set();
	const seen = new IntersectionObserver((entries) => {
		for (const { target, isIntersecting } of entries) above[isIntersecting ? "add" : "delete"](target);
		const last = heads.findLast((head) => above.has(head) && links.has(head.id));
		for (const [id, a] of links) a.classList.toggle("md-nav__link--active", id === last?.id);
	}, { rootMargin: "999999px 0px -75%" });
	heads.forEach((head) => seen.observe(head));

	// The index comes with the first letter: of each section its place, its title and its words.
	const { base } = JSON.parse(document.getElementById("__config").textContent);
	const here = (path) => new URL(path, new URL(base.replace(/\/?$/, "/"), location)).href;
	const fetched = () => location.protocol !== "file:" ? fetch(here("search/index.json")).then((r) => r.json())
		: new Promise((done) => body.append(make("script", { src: here("search/index.js"), onload: () => done(window.__index) })));
	const start = async () => {
		const titles = new Map(), index = await fetched();
		for (const [at, title] of index) titles.has(at.split("#")[0]) || titles.set(at.split("#")[0], title);
		return index.map(([at, title, text]) => {
			const page = titles.get(at.split("#")[0]);
			return { at, title: page === title ? title : `${page} › ${title}`, own: title, page, text };
		});
	};
	// What is sought begins a word. Rare words count more, and words of a title more than words below it.
	const sought = (query) => (query.match(/[\p{L}\p{N}_]+/gu) ?? []).map((word) => RegExp(`(?<![\\p{L}\\p{N}])${word}`, "giu"));
	const count = (text, word) => text.match(word)?.length ?? 0;
	let index;
	const find = async (query) => {
		const all = await (index ??= start()), words = sought(query);
		const rows = all.map((doc) => words.map((word) => 6 * count(doc.own, word) + 2 * count(doc.page, word) + Math.log2(1 + count(doc.text, word))));
		const rare = words.map((_, at) => Math.log(1 + all.length / (1 + rows.filter((row) => row[at]).length)));
		const found = all.map((doc, at) => ({ ...doc, score: rows[at].every(Boolean) ? rows[at].reduce((sum, n, i) => sum + n * rare[i], 0) : 0 }));
		const taken = new Map(), few = ({ page }) => taken.set(page, (taken.get(page) ?? 0) + 1).get(page) < 3;
		return words.length ? found.filter((doc) => doc.score).sort((a, b) => b.score - a.score).filter(few) : [];
	};
	const marked = (tag, text, words) => {
		const spans = words.flatMap((word) => [...text.matchAll(word)].map((m) => [m.index, m.index + m[0].length])).sort((a, b) => a[0] - b[0]);
		const parts = [];
		let end = 0;
		for (const [from, to] of spans) if (from >= end) parts.push(text.slice(end, from), make("mark", {}, text.slice(from, end = to)));
		return make(tag, {}, ...parts, text.slice(end));
	};
	const around = (text, words) => {
		const first = Math.min(...words.map((word) => { const at = text.search(word); return at < 0 ? 1e9 : at; })), from = first < 80 || first > text.length ? 0 : text.indexOf(" ", first - 60) + 1;
		return (from ? "… " : "") + text.slice(from, from + 220) + (text.length > from + 220 ? " …" : "");
	};
	for (const box of all(".find")) {
		const field = box.querySelector("input"), [said, list] = box.querySelector(".found").children;
		let turn = 0;
		field.oninput = async () => {
			const mine = ++turn, query = field.value.trim();
			box.classList.toggle("open", query);
			if (!query) return list.replaceChildren();
			if (!list.firstChild) said.textContent = "Searching …";
			const found = await find(query).catch(() => (index = null));
			if (mine !== turn) return;
			if (!found) return (said.textContent = "The index did not come. Are you offline?");
			said.textContent = `${found.length || "No"} ${found.length === 1 ? "place" : "places"} with these words`;
			const words = sought(query);
			list.replaceChildren(...found.slice(0, 30).map((doc) => make("li", {}, make("a", { href: here(doc.at) },
				marked("b", doc.title, words), marked("span", around(doc.text, words), words)))));
		};
		field.onfocus = () => box.classList.toggle("open", field.value.trim());
		box.onkeydown = (event) => {
			const stops = [field, ...all("a", box)], step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
			if (event.key === "Escape") { box.classList.remove("open"); field.focus(); }
			if (!step) return;
			event.preventDefault();
			stops[Math.max(0, stops.indexOf(document.activeElement) + step)]?.focus();
		};
		box.addEventListener("focusout", ({ relatedTarget: to }) => to && !box.contains(to) && box.classList.remove("open"));
		addEventListener("click", ({ target }) => box.contains(target) || box.classList.remove("open"));
	}
	const field = all(".find input").pop(), menu = all(".menu")[0];
	addEventListener("keydown", (event) => {
		const { key, target } = event;
		if (key === "/" && !target.closest("input, textarea, select, [contenteditable]")) { event.preventDefault(); field.focus(); }
		if (key === "Escape") document.getElementById("__drawer").checked = false;
	});
	menu.onkeydown = (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), menu.click());
})();
