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
	const write = (point, said) => `<text transform="translate(${at(point)})">${said}</text>`;
	const arrow = (tail, tip) => {
		const [x, y] = tip.map((v, k) => v - tail[k]), length = Math.sqrt(x * x + y * y);
		const head = Math.min(9, length) / (length || 1);
		const wing = (side) => at([tip[0] - head * (x + side * y), tip[1] - head * (y - side * x)]);
		return `<path d="M${at(tail)}L${at(tip)}L${wing(0.4)}M${at(tip)}L${wing(-0.4)}"></path>`;
	};
	// vectors: [name, tip]; parts: [factor, row], tip to tail, and beside the axes.
	const plot = (vectors, parts, equal) => {
		const path = [[0, 0]], room = 17 * parts.length;
		parts.forEach(([by, row], i) => path.push(path[i].map((v, k) => v + by * row[k])));
		const points = [...path, ...vectors.map(([, tip]) => tip)];
		if (!points.flat().every(isFinite)) return "";
		const start = [40 + room, 258 - room], end = [296, 12], size = [256 - room, 246 - room];
		const lows = [], unit = turn(points).map((values, k) => {
			lows[k] = 1.06 * Math.min(...values);
			return size[k] / (1.06 * Math.max(...values) - lows[k] || 1);
		});
		if (equal) unit.fill(Math.min(...unit));
		const along = (k, v) => start[k] + (k ? -1 : 1) * unit[k] * (v - lows[k]);
		const place = (point) => point.map((v, k) => along(k, v));
		const axis = (k) => {
			const point = (v, across) => (k ? [across, v] : [v, across]), side = start[1 - k];
			let step = 1e-4, ticks = "";
			for (let n = 0; step * unit[k] < (k ? 26 : 36); n++) step *= n % 3 === 1 ? 2.5 : 2;
			for (let i = Math.ceil(lows[k] / step); (i * step - lows[k]) * unit[k] < size[k] + 1; i++) {
				const v = along(k, i * step);
				ticks += `<path d="M${at(point(v, side))}L${at(point(v, end[1 - k]))}"${i ? "" : ' class="zero"'}></path>`;
				ticks += write(k ? [side - 5, v + 4] : [v, side + 14], fmt(i * step));
			}
			const lanes = parts.map(([by, row], i) => {
				const lane = side + (k ? -1 : 1) * (33 + 17 * i);
				const line = arrow(point(along(k, path[i][k]), lane), point(along(k, path[i + 1][k]), lane));
				return line + write(k ? [lane, start[1] + 6] : [end[0] + 6, lane + 4], `${factor(by)}·${factor(row[k])}`);
			});
			return `<g class="ticks-${k}">${ticks}</g><g class="lanes-${k}">${lanes.join("")}</g>`;
		};
		const dashed = parts.map((_, i) => arrow(place(path[i]), place(path[i + 1])));
		const solid = vectors.map(([name, tip], i) => {
			const [x, y] = place(tip), label = write([x + (tip[0] < 0 ? -12 : 12), y + (i % 2 ? -4 : 12)], name);
			return `<g class="v${i} ${name[0].toLowerCase()}">${arrow(place([0, 0]), [x, y])}${label}</g>`;
		});
		return `${axis(0)}${axis(1)}<g class="parts">${dashed.join("")}</g>${solid.join("")}`;
	};

	const put = (el, text) => el.textContent === text || (el.textContent = text);

	customElements.define("qkv-live", class extends HTMLElement {
		connectedCallback() {
			if (this.tables) return;
			this.tables = this.all("table").map(({ dataset, tBodies }) =>
				({ ...dataset, cells: [...tBodies[0].rows].map((row) => [...row.querySelectorAll("td")]) }));
			for (const { m, edit, cells } of this.tables)
				if (edit) map(cells, (td, i, j) => (td.innerHTML = `<input type=number step=any min=-${edit} max=${edit}
					value="${td.textContent}" placeholder=? aria-label=${entry(m, i, j, cells)}>`));
			const fields = this.all("input, select"), state = () => fields.map(({ value }) => value).join("_");
			const fill = (values) => values.split("_").forEach((value, i) => (fields[i].value = value));
			const built = state(), saved = new URLSearchParams(location.search).get(this.id) ?? "";
			if (saved.split("_").length === fields.length) fill(saved);
			const { pathname } = location;
			// These wait for a pause.
			this.oninput = () => {
				this.update();
				clearTimeout(this.timer);
				this.timer = setTimeout(() => {
					const { dataset, textContent } = this.all(".qkv-twin [data-py]").pop(), url = new URL(location);
					put(this.lastChild, `${dataset.py} = ${textContent}`);
					url.searchParams.set(this.id, state());
					if (state() === built) url.searchParams.delete(this.id);
					if (this.isConnected && url.pathname === pathname) history.replaceState(history.state, "", url);
				}, 400);
			};
			this.all("button")[0].onclick = () => this.oninput(fill(built));
			this.update();
		}
		all = (selector) => [...this.querySelectorAll(selector)];
		update() {
			const { dataset } = this, sums = this.all(".qkv-sums li");
			for (const { name, value } of this.all("select")) dataset[name] = value;
			const env = { width: +dataset.scaled && +dataset.width };
			const get = (name) => {
				if (+dataset.shared) name = name.replace(/W_[KV]/, "W_Q");
				return name.endsWith(".T") ? turn(env[name.slice(0, -2)]) : env[name];
			};
			for (const { m, edit, op, from, cells } of this.tables) {
				if (edit) env[m] = map(cells, ({ firstChild: f }) => (f.validity.valid ? f.valueAsNumber : NaN));
				else if (m === "mask") env.mask = map(cells, (td) => td.textContent === "✓" || !+dataset.masked);
				else if (op) {
					const [M, say] = operations[op](...from.split(" ").map(get));
					env[m] = M;
					map(cells, (td, i, j) => {
						const said = `${entry(m, i, j, M)} = ${say(i, j)}`;
						put(td.firstChild, fmt(M[i][j]));
						put(td.lastChild, said);
						put(sums.shift(), said);
						if (op === "softmax") td.setAttribute("style", "--w:" + fmt(M[i][j]));
					});
				} else map(cells, (td, i, j) => put(td, fmt(get(m)[i][j])));
			}
			for (const el of this.all("[data-py]")) {
				const M = get(el.dataset.py);
				put(el, el.dataset.flat ? list(M.flat()) : `[${M.map(list).join(", ")}]`);
			}
			for (const svg of this.all("[data-plot]")) {
				const { plot: shown, parts, equal } = svg.dataset, [x, W] = parts.split(" ").map(get);
				svg.innerHTML = plot(shown.split(" ").map((name) => [name, get(name)[0]]), W.map((row, i) => [x[0][i], row]), equal);
			}
		}
	});
	// The theme made anchors absolute: keep the numbers.
	addEventListener("click", ({ target }) => {
		const link = target.closest("a");
		if (link?.pathname === location.pathname) link.search = location.search;
	}, true);
	globalThis.qkv = { fmt, factor, relation, map, operations, plot };

	// The script of exercises comes when a reader nears one.
	const src = new URL("qkv-practice.js", document.currentScript.src).href;
	const near = new IntersectionObserver((seen) => {
		if (!seen.some((one) => one.isIntersecting)) return;
		near.disconnect();
		document.head.append(Object.assign(document.createElement("script"), { src }));
	}, { rootMargin: "99%" });
	const look = () => document.querySelectorAll("qkv-practice:not(:defined)").forEach((one) => near.observe(one));
	look();
	globalThis.document$?.subscribe(look); // the theme changes pages without leaving
})();
