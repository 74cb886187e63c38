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
	const reach = () => all("pre > code").forEach((code) => code.scrollWidth > code.clientWidth ? (code.tabIndex = 0) : code.removeAttribute("tabindex"));
	for (const event of ["load", "resize"]) addEventListener(event, reach);

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

	// What an address leads to is unfolded.
	const unfold = () => {
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

	// The index and its worker come with the first letter.
	const { base, search } = JSON.parse(document.getElementById("__config").textContent);
	const here = (path) => new URL(path, new URL(base.replace(/\/?$/, "/"), location)).href;
	const index = () => location.protocol !== "file:" ? fetch(here("search/search_index.json")).then((r) => r.json())
		: new Promise((done) => body.append(make("script", { src: here("search/search_index.js"), onload: () => done(window.__index) })));
	let engine;
	const start = () => (engine ??= index().then(async (data) => {
		const worker = new Worker(search), waiting = [];
		worker.onmessage = (event) => waiting.shift()(event.data.data);
		const ask = (type, data) => new Promise((done) => { waiting.push(done); worker.postMessage({ type, data }); });
		await ask(0, { options: {}, ...data });
		const titles = new Map(data.docs.map((doc) => [doc.location, doc.title]));
		return async (words) => (await ask(2, words)).items.flatMap((page) =>
			page.toSorted((a, b) => b.score - a.score).slice(0, 2).filter((doc, at) => !at || doc.score > 1)
				.map((doc) => ({ ...doc, page: doc.location.includes("#") ? titles.get(doc.location.split("#")[0]) : "" })));
	}));
	// Of the index's HTML only the marks of words that were found are kept.
	const plain = (html) => html.replace(/<(?!\/?mark\b)[^>]*>/g, " ").replace(/<mark[^>]*>/g, "<mark>");
	const words = (tag, className, html) => make(tag, { className, innerHTML: plain(html) });
	for (const box of all(".find")) {
		const field = box.querySelector("input"), [said, list] = box.querySelector(".found").children;
		let turn = 0;
		field.oninput = async () => {
			const mine = ++turn, query = field.value.trim();
			box.classList.toggle("open", query);
			if (!query) return list.replaceChildren();
			if (!list.firstChild) said.textContent = "Searching …";
			const found = await (await start())(query);
			if (mine !== turn) return;
			said.textContent = `${found.length || "No"} ${found.length === 1 ? "place" : "places"} with these words`;
			list.replaceChildren(...found.slice(0, 30).map((doc) => make("li", {}, make("a", { href: here(doc.location) },
				words("b", "", doc.page ? `${doc.page} › ${doc.title}` : doc.title), words("span", "", doc.text)))));
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
