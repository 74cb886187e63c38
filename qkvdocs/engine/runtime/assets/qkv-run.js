// <qkv-run>: lets a reader edit and run the block above it. Python is loaded by the first run and no sooner.
(() => {
	const runtime = new URL("../runtime/", document.currentScript.src), running = new Set();
	// One worker serves all blocks of the page.
	let worker;
	const end = (failed) => {
		worker?.terminate();
		worker = null;
		for (const element of running) element.show({ failed });
	};

	customElements.define("qkv-run", class extends HTMLElement {
		connectedCallback() {
			this.innerHTML = "<button type=button>Edit and run</button>";
			this.firstChild.onclick = () => this.edit();
		}
		edit() {
			let block = this.parentElement.previousElementSibling, built;
			if (block.matches(".language-text")) [built, block] = [block, block.previousElementSibling];
			const editor = document.createElement("div"), figure = this.closest("qkv-live");
			editor.className = "qkv-editor";
			editor.innerHTML = `<textarea aria-label="Python code" spellcheck=false autocapitalize=off wrap=off></textarea>
				<p><button type=button>Run</button> <button type=button hidden>Stop</button> <button type=button>Reset</button>
				<span role=status></span></p>${built ? "" : "<pre><code></code></pre>"}`;
			this.code = block.querySelector("code");
			this.output = (built || editor).querySelector("code");
			Object.assign(this.output.parentElement, { role: "group", ariaLabel: "Output" });
			this.area = editor.firstChild;
			[this.go, this.halt, this.back] = editor.querySelectorAll("button");
			this.status = editor.querySelector("span");
			const shown = this.output.textContent, pre = this.code.parentElement;
			this.go.onclick = () => this.run();
			this.halt.onclick = () => end("Stopped.");
			this.back.onclick = () => {
				if (running.has(this)) end("");
				editor.remove();
				this.output.textContent = shown;
				pre.hidden = this.firstChild.hidden = false;
				this.firstChild.focus();
			};
			this.area.onkeydown = (event) => {
				if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.run(event.preventDefault());
			};
			for (const kind of ["input", "click"]) figure?.addEventListener(kind, this.take);
			this.taken = "";
			this.take();
			pre.hidden = this.firstChild.hidden = true;
			pre.after(editor);
			const price = `Loads Python and numpy from this site first, about ${this.dataset.megabytes} MB, once. `;
			this.status.textContent = `${worker ? "" : price}Ctrl + Enter runs, too.`;
			this.area.focus();
		}
		// The code as it stands on the page, in a figure with the numbers of the moment; not over the reader's own.
		take = () => {
			if (this.area.value !== this.taken) return;
			this.area.value = this.taken = this.code.textContent.trimEnd();
			this.area.rows = this.taken.split("\n").length;
		};
		run() {
			if (running.has(this)) return;
			this.take();
			running.add(this);
			this.go.disabled = !(this.halt.hidden = false);
			this.status.textContent = worker ? "Running …" : "Loading Python and numpy …";
			const { port1, port2 } = new MessageChannel(), { page, fence } = this.dataset;
			port1.onmessage = ({ data }) => running.has(this) && this.show(data);
			try {
				worker ??= new Worker(new URL("qkv-worker.mjs", runtime), { type: "module" });
				worker.onerror = () => end("Python cannot run here: the browser's console says why.");
				worker.postMessage({ page, fence: +fence, code: this.area.value }, [port2]);
			} catch {
				end("A page opened as a file cannot run Python: it needs a server.");
			}
		}
		show({ text, error, failed }) {
			if (text === undefined && failed === undefined) return (this.status.textContent = "Running …");
			running.delete(this);
			this.go.disabled = !(this.halt.hidden = true);
			if (failed === undefined) this.output.textContent = text && `${text}\n`;
			this.status.textContent = failed ?? (error ? `Ended with ${error}.` : text ? "Done." : "Done; nothing was printed.");
		}
	});
})();
