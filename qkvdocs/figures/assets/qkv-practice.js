// <qkv-practice>: an exercise that draws its numbers and knows the usual mistakes, as Python does.
(() => {
	const { factor, fmt, map, operations, relation } = globalThis.qkv;
	// Entry by entry; on the right a single row, column or number will do.
	const each = (sign, f) => (A, B) => {
		const b = (i, j) => B[i % B.length][j % B[0].length], M = map(A, (a, i, j) => +f(a, b(i, j)));
		return [M, (i, j) => `${fmt(A[i][j])} ${sign} ${factor(b(i, j))} ${relation(M[i][j])} ${fmt(M[i][j])}`];
	};
	const does = {
		"@": operations.product,
		"+": each("+", (a, b) => a + b),
		"-": each("-", (a, b) => a - b),
		"*": each("·", (a, b) => a * b),
		"/": each("/", (a, b) => a / b),
		"<=": each("≤", (a, b) => a <= b),
		pick: (A, places) => [map(places, (at) => A.flat()[at])],
	};
	const run = (recipe, env) => {
		const stack = [];
		for (const word of recipe) {
			const f = does[word];
			stack.push(f ? f(...stack.splice(-2).map(([M]) => M)) : [env[word] ?? (word.map ? word : [[word]])]);
		}
		return stack[0];
	};
	const all = (el, selector) => [...el.querySelectorAll(selector)];
	const near = (a, b, apart = 6e-4) => a.every((v, i) => Math.abs(v - b[i]) < apart);
	const number = ({ type, checked, value }) => {
		const [a, b = 1] = value.replace("−", "-").replace(",", ".").split("/");
		return type === "checkbox" ? +checked : /\d/.test(a) ? a / b : NaN;
	};

	customElements.define("qkv-practice", class extends HTMLElement {
		connectedCallback() {
			if (this.plan) return;
			this.plan = JSON.parse(this.dataset.plan);
			const [, fresh, own] = all(this, "button"), seed = new URLSearchParams(location.search).get(this.id);
			this.draw(/^\d{1,9}$/.test(seed) ? +seed : this.plan.seed);
			fresh.onclick = () => {
				const before = JSON.stringify(this.env);
				do this.draw(this.seed + 1);
				while (JSON.stringify(this.env) === before);
				this.save(this.seed);
			};
			if (own) own.onclick = () => {
				this.cells((td, row, k) => (td.innerHTML = `<input type=number step=any value=${row[k]} aria-label=${td.dataset.name}>`));
				all(this, "input")[0].focus();
			};
			this.oninput = ({ target }) => {
				if (target.closest(".asked")) return this.say((target.ariaInvalid = null));
				this.cells((td, row, k) => (row[k] = td.firstChild.valueAsNumber));
				this.solve();
				this.save();
			};
			this.onsubmit = (event) => this.say(this.check(event.preventDefault()));
		}
		cells = (f) => all(this, ".given td").map((td) => f(td, this.env[td.closest("table").dataset.m][td.dataset.r], td.dataset.k));
		say = (text) => this.toggleAttribute("data-right", /^All/.test((all(this, "[role]")[0].textContent = text)));
		save(seed) {
			const url = new URL(location);
			url.searchParams[seed ? "set" : "delete"](this.id, seed);
			history.replaceState(history.state, "", url);
		}
		draw(seed) {
			this.seed = seed;
			const next = () => {
				seed = (seed + 0x9e3779b9) | 0;
				const mixed = Math.imul(seed ^ (seed >>> 16), 0x85ebca6b);
				return (mixed ^ (mixed >>> 13)) >>> 0;
			};
			do {
				this.env = {};
				for (const [name, count, lowest] of this.plan.draw)
					this.env[name] = map(lowest, (low) => low + (next() % count));
				this.solve();
			} while (this.doubt);
			this.cells((td, row, k) => (td.textContent = row[k]));
			all(this, "form")[0].reset();
		}
		solve() {
			const { env } = this, { steps, known, ticks } = this.plan, worked = all(this, ".qkv-sums b");
			for (const [name, recipe] of steps) {
				const [M, say] = run(recipe, env);
				map((env[name] = M), (v, i, j) => (worked.shift().textContent = ticks ? ["no", "yes"][v] : say ? say(i, j) : fmt(v)));
			}
			for (const el of all(this, "[data-py]")) el.textContent = fmt(env[el.dataset.py][0][0]);
			this.known = known.map(([name, why, recipes]) => [name, why, recipes.map((recipe) => run(recipe, env)[0].flat())]);
			this.doubt = this.known.map(([, , a], i) => this.known.filter(([, , b], j) => j >= i && near(a.flat(), b.flat(), 12e-4)))
				.map((same) => (same[1] ? `With these numbers nobody can tell apart: ${same.map(([name]) => name).join(", ")}. ` : "")).join("");
			for (const input of all(this, ".asked input")) input.ariaInvalid = null;
			this.say(this.doubt);
		}
		check() {
			const [[, , right], ...wrong] = this.known, off = [], open = [];
			const typed = all(this, ".asked").map((table, n) => all(table, "input").map((input, i) => {
				const v = number(input), ok = near([v], [right[n][i]]);
				input.ariaInvalid = isNaN(v) ? null : !ok;
				if (!ok) (isNaN(v) ? open : off).push(input.ariaLabel);
				return v;
			}));
			if (!off[0]) return open[0] ? `Still without a number: ${open.join(", ")}.` : `All right. ${this.doubt}`;
			// One result may show a mistake that the others do not.
			const some = wrong.filter(([, , a]) => a.some((values, n) => near(values, typed[n]) && !near(values, right[n])));
			const whole = some.filter(([, , a]) => near(a.flat(), typed.flat()));
			const said = (whole[0] ? whole : some).map(([name, why]) => `Recognised: ${name}. ${why}`);
			return `Not right: ${off.join(", ")}. ${said.join(" Or: ") || this.plan.hint}`;
		}
	});
})();
