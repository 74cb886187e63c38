// <qkv-live>: a figure with numbers to change. It computes, says and draws as Python does.
(() => {
	const fmt = (v, digits = 4) => {
		if (!isFinite(v)) return isNaN(v) ? "?" : "-∞";
		const text = v.toFixed(digits).replace(/\.?0+$/, "");
		return text === "-0" ? "0" : text;
	};
	const factor = (v) => fmt(v).replace(/^-.*/, "($&)");
	const relation = (...values) =>
		values.some((v) => Math.abs(+fmt(v) - v) > 1e-9) ? "≈" : "=";
	const list = (row) => `[${row.map((v) => fmt(v)).join(", ")}]`;
	const entry = (name, i, j, M) =>
		!M[1] ? `${name}_${j}` : M[0].length === 1 ? `${name}_${i}` : `${name}[${i},${j}]`;
	const map = (M, f) => M.map((row, i) => row.map((v, j) => f(v, i, j)));
	const turn = (M) => M[0].map((_, j) => M.map((row) => row[j]));

	// Each gives its result, and what to say of an entry.
	const operations = {
		product(A, B) {
			const M = A.map((a) => turn(B).map((b) => b.reduce((sum, v, k) => sum + a[k] * v, 0)));
			return [M, (i, j) => {
				const b = turn(B)[j], terms = b.map((v, k) => `${factor(A[i][k])}·${factor(v)}`);
				return `${terms.join(" + ")} ${relation(...A[i], ...b, M[i][j])} ${fmt(M[i][j])}`;
			}];
		},
		turn: (A, name) => [turn(A), (i, j) => `${entry(name, j, i, A)} = ${fmt(A[j][i])}`],
		scale(S, width) {
			const M = map(S, (s) => s / Math.sqrt(width || 1));
			return [M, (i, j) => `${fmt(S[i][j])} / ${width ? "√" + width : 1} ${relation(S[i][j], M[i][j])} ${fmt(M[i][j])}`];
		},
		mask(S, see) {
			const M = map(S, (s, i, j) => (see[i][j] ? s : -Infinity));
			return [M, (i, j) => `${fmt(M[i][j])}, ${see[i][j] ? "visible" : "hidden"}`];
		},
		softmax(S) {
			const raised = map(S, (s, i) => Math.exp(s - Math.max(...S[i], -1e9)));
			const M = map(raised, (e, i) => e / (raised[i].reduce((a, b) => a + b) || 1));
			return [M, (i, j) => {
				const terms = S[i].map((s) => "e^" + factor(s)), several = S[i].filter(isFinite).length > 1;
				return `${terms[j]} / (${terms.join(" + ")}) ${several && S[i][j] > -Infinity ? "≈" : "="} ${fmt(M[i][j])}`;
			}];
		},
	};

	const at = (point) => point.map((v) => fmt(v, 1)).join(" ");
	const write = ([x, y], said) => `<text x="${fmt(x, 1)}" y="${fmt(y, 1)}">${said}</text>`;
	const arrow = (tail, tip) => {
		const [x, y] = tip.map((v, k) => v - tail[k]), length = Math.sqrt(x * x + y * y);
		if (length < 0.5) return `<circle cx="${fmt(tip[0], 1)}" cy="${fmt(tip[1], 1)}" r="4"></circle>`;
		const head = Math.min(10 / length, 0.5);
		const wing = (side) => at([tip[0] - head * (x + side * y), tip[1] - head * (y - side * x)]);
		return `<path d="M${at(tail)}L${at(tip)}L${wing(0.4)}M${at(tip)}L${wing(-0.4)}"></path>`;
	};
	// vectors: [name, tip]; parts: [factor, row], tip to tail.
	const plot = (vectors, parts) => {
		const path = [[0, 0]], size = [parts[0] ? 140 : 204, 200], start = [58, 240];
		parts.forEach(([by, row], i) => path.push(path[i].map((v, k) => v + by * row[k])));
		const points = turn([...path, ...vectors.map(([, tip]) => tip)]);
		if (!points.flat().every(isFinite)) return "";
		const lows = points.map((values) => Math.min(...values)), spans = points.map((values, k) => Math.max(...values) - lows[k]);
		const unit = Math.min(...size.map((room, k) => room / (spans[k] || 1)));
		const along = (k, v) => start[k] + (k ? -1 : 1) * (unit * (v - lows[k]) + (size[k] - unit * spans[k]) / 2);
		const place = (point) => point.map((v, k) => along(k, v));
		let step = 1e-4;
		for (let n = 0; step * unit < 30; n++) step *= n % 3 === 1 ? 2.5 : 2;
		const axis = (k) => {
			const from = along(1 - k, lows[1 - k] - 24 / unit), to = along(1 - k, lows[1 - k] + spans[1 - k] + 24 / unit);
			let ticks = "";
			for (let i = Math.ceil((lows[k] - 20 / unit) / step); i * step < lows[k] + spans[k] + 20 / unit; i++) {
				const v = along(k, i * step), point = (across) => at(k ? [across, v] : [v, across]);
				ticks += `<path d="M${point(from)}L${point(to)}"${i ? "" : ' class="zero"'}></path>`;
				ticks += write(k ? [from - 5, v + 4] : [v, from + 15], fmt(i * step));
			}
			return `<g class="ticks-${k}">${ticks}</g>`;
		};
		const dashed = parts.map(([by, row], i) => {
			const [tail, tip] = [place(path[i]), place(path[i + 1])];
			return arrow(tail, tip) + write([(tail[0] + tip[0]) / 2 + 8, (tail[1] + tip[1]) / 2 + 4], `${factor(by)} · ${list(row)}`);
		});
		const root = place([0, 0]), tips = vectors.map(([, tip]) => place(tip));
		const solid = vectors.map(([name], i) => {
			const [x, y] = tips[i], [a, b] = [x - root[0], y - root[1]], long = Math.sqrt(a * a + b * b) || 1, u = a / long, v = b / long;
			// Where a longer arrow goes on in the same direction, the name stands beside the tip.
			const beside = tips.some(([c, d]) => u * (c - x) + v * (d - y) > 1 && Math.abs(u * (d - y) - v * (c - x)) < 9);
			const spot = parts[0] && !vectors[i + 1] ? [x - 12, y + 5] : beside ? [x - 14 * v, y + 14 * u + 5] : [x + 14 * u, y + 12 * v + 5];
			return `<g class="v${i} ${name[0].toLowerCase()}">${arrow(root, [x, y])}${write(spot, name)}</g>`;
		});
		return `${axis(0)}${axis(1)}<g class="parts">${dashed.join("")}</g>${solid.join("")}`;
	};

	const put = (el, text) => el.textContent === text || ((el.firstChild ?? el.appendChild(new Text())).data = text);
	const all = (root, selector) => [...root.querySelectorAll(selector)];
	const lives = () => all(document, "qkv-live").filter(({ parts }) => parts);
	// Points of a column stand below one another: each number is followed by room for the decimals that it lacks.
	const align = (cells, texts) => turn(texts).forEach((column, j) => {
		const ends = column.map((text) => text.length - `${text}.`.indexOf(".")), most = Math.max(...ends);
		ends.forEach((end, i) => {
			const { dataset } = cells[i][j], pad = ".".padEnd(most, 0).slice(end, most);
			if ((dataset.pad ?? "") !== pad) dataset.pad = pad;
		});
	});

	// What the figures of a page share: matrices, or rows with a name of their own, of one name and the same built numbers.
	const PART = "[data-edit] tr[data-m], [data-edit]:not(:has(tr[data-m]))";
	const built = (part) => all(part, "td").map(({ firstChild: f }) => f.defaultValue ?? f.data).join("_");
	const state = (part) => all(part, "input").map(({ value }) => value).join("_");
	const key = (part) => {
		const { m } = part.dataset, same = all(document, PART).filter(({ dataset }) => dataset.m === m).map(built);
		const at = [...new Set(same)].indexOf(built(part));
		return `my-${m}${at ? "." + (at + 1) : ""}`;
	};
	const fill = (part, values) => {
		const fields = all(part, "input"), texts = values.split("_");
		if (texts.length === fields.length) fields.forEach((field, i) => (field.value = texts[i]));
	};

	customElements.define("qkv-live", class extends HTMLElement {
		// Each starts in a turn of its own, so that a page of many answers in between.
		connectedCallback() {
			this.timer ??= setTimeout(() => this.start());
		}
		start() {
			this.tables = all(this, "table[data-m]").map(({ dataset, tBodies }) =>
				({ ...dataset, cells: [...tBodies[0].rows].map((row) => all(row, "td")) }));
			this.parts = all(this, PART);
			for (const part of this.parts) part.key = key(part);
			for (const { m, edit, cells } of this.tables)
				if (edit) map(cells, (td, i, j) => (td.innerHTML = `<input type=number step=any min=-${edit} max=${edit}
					value="${td.textContent}" placeholder=? aria-label=${entry(m, i, j, cells)}>`));
			this.switches = all(this, "[type=checkbox]");
			const saved = new URLSearchParams(location.search), { pathname } = location, on = saved.get(this.id) ?? "";
			for (const part of this.parts) fill(part, saved.get(part.key) ?? "");
			this.switches.forEach((one, i) => (one.checked = on[i] ? on[i] === "1" : one.checked));
			this.oninput = ({ target }) => {
				const part = this.parts.find((one) => one.contains(target)), values = part && state(part);
				this.update();
				for (const live of lives()) {
					const same = live.parts.filter((one) => one.key === part?.key && one !== part);
					for (const one of same) fill(one, values);
					if (same[0]) live.update();
				}
				this.changed(pathname);
			};
			all(this, "button")[0].onclick = () => {
				for (const live of lives()) {
					for (const field of all(live, "input")) [field.value, field.checked] = [field.defaultValue, field.defaultChecked];
					live.update();
				}
				this.changed(pathname);
			};
			this.update();
			this.mark();
		}
		// What cannot follow says so.
		mark() {
			const page = this.closest("article") ?? document.body;
			const edited = all(page, "qkv-live input").some((f) => f.value !== f.defaultValue || f.checked !== f.defaultChecked);
			if (page.hasAttribute("data-edited") === edited) return;
			page.toggleAttribute("data-edited", edited);
			for (const one of all(page, ".diagram, .qkv-axes, .qkv-heatmap"))
				one.toggleAttribute("data-original", edited && /\d/.test(one.textContent));
		}
		changed(pathname) {
			this.mark();
			// These wait for a pause.
			clearTimeout(this.timer);
			this.timer = setTimeout(() => {
				const { dataset, textContent } = all(this, ".qkv-twin [data-py]").pop(), url = new URL(location);
				put(this.lastChild, `${dataset.py} = ${textContent}`);
				const keep = (name, now, then) => (now === then ? url.searchParams.delete(name) : url.searchParams.set(name, now));
				for (const { id, parts, switches } of lives()) {
					for (const part of parts) keep(part.key, state(part), built(part));
					const on = (which) => switches.map((one) => +one[which]).join("");
					keep(id, on("checked"), on("defaultChecked"));
				}
				if (this.isConnected && url.pathname === pathname) history.replaceState(history.state, "", url);
			}, 400);
		}
		update() {
			const { dataset } = this, sums = all(this, ".qkv-sums li");
			for (const { name, checked } of this.switches) dataset[name] = +checked;
			const env = { width: +dataset.scaled && +dataset.width };
			const get = (name) => {
				if (+dataset.shared) name = name.replace(/W_[KV]/, "W_Q");
				return name.endsWith(".T") ? turn(env[name.slice(0, -2)]) : env[name];
			};
			for (const { m, edit, op, from, cells } of this.tables) {
				let texts;
				if (edit) {
					env[m] = map(cells, ({ firstChild: f }) => (f.validity.valid ? f.valueAsNumber : NaN));
					texts = map(cells, ({ firstChild: f }) => f.value);
				} else {
					if (op === "mask") env.mask = map(cells, (td) => !("hidden" in td.dataset && +dataset.masked));
					const [M, say] = operations[op](...from.split(" ").map(get), from);
					texts = map((env[m] = M), (v) => fmt(v));
					map(cells, (td, i, j) => {
						const said = `${entry(m, i, j, M)} = ${say(i, j)}`;
						put(td.firstChild, texts[i][j]);
						put(td.lastChild, said);
						put(sums.shift(), said);
						if (op === "softmax") td.setAttribute("style", "--w:" + texts[i][j]);
					});
				}
				align(cells, texts);
			}
			for (const el of all(this, "[data-py]")) {
				const M = get(el.dataset.py);
				put(el, el.dataset.flat ? list(M.flat()) : `[${M.map(list).join(", ")}]`);
			}
			for (const svg of all(this, "[data-plot]")) {
				const { plot: shown, parts } = svg.dataset, [x, W] = parts.split(" ").map(get);
				svg.innerHTML = plot(shown.split(" ").map((name) => [name, get(name)[0]]), W.map((row, i) => [x[0][i], row]));
			}
		}
	});
	globalThis.qkv = { fmt, factor, relation, map, operations, plot };

	// The script of exercises comes when a reader nears one.
	const src = new URL("qkv-practice.js", document.currentScript.src).href;
	const near = new IntersectionObserver((seen) => {
		if (!seen.some((one) => one.isIntersecting)) return;
		near.disconnect();
		document.head.append(Object.assign(document.createElement("script"), { src }));
	}, { rootMargin: "99%" });
	document.querySelectorAll("qkv-practice").forEach((one) => near.observe(one));
})();
