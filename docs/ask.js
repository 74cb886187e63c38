// <qkv-ask>: a sentence goes to the package, in Python that this page loads from this site; HTML comes back.
const site = new URL("./", import.meta.url);

customElements.define("qkv-ask", class extends HTMLElement {
  connectedCallback() {
    this.root = this.closest(".ask");
    this.form = this.root.querySelector("form");
    this.data = JSON.parse(this.textContent);
    const { form, root } = this, given = new URLSearchParams(location.hash.slice(1));
    for (const name of ["sentence", "second", "fault"]) if (given.has(name)) form.elements[name].value = given.get(name);
    this.choose(given.get("head") || this.data.head);
    this.at = given.has("word") ? +given.get("word") : null;
    form.onsubmit = (event) => { event.preventDefault(); this.at = this.asked === form.elements.sentence.value ? this.at : null; this.look(); };
    form.onkeydown = (event) => { if (event.key === "Enter" && event.target.name === "sentence") { event.preventDefault(); form.requestSubmit(); } };
    root.onclick = ({ target }) => {
      const button = target.closest("button");
      if (button?.dataset.head) {
        this.choose(button.dataset.head);
        this.asked === undefined ? this.save() : this.look();
      }
      if (button?.name === "compare") this.compare();
      if (button?.name === "stop") this.end("Stopped.");
    };
    root.onchange = ({ target }) => {
      if (target.name === "asked") { this.at = [...form.elements.asked].indexOf(target); this.look(this.asked); }
      this.save();
      if (target.name === "fault" && this.asked !== undefined) this.look(this.asked, 1).then(() => this.compared && this.compare());
    };
    for (const part of root.querySelectorAll(".ask-part")) part.hidden = false;
    root.querySelector(".ask-none").hidden = true;
  }
  disconnectedCallback() { this.end(""); }
  choose(head) {
    if (!this.root.querySelector(`[data-head="${CSS.escape(head)}"]`)) head = this.data.head;
    this.head = head;
    for (const button of this.root.querySelectorAll("[data-head]")) button.ariaPressed = button.dataset.head === head;
  }
  // In the fragment, which no server is sent.
  save() {
    const { sentence, second, fault } = this.form.elements, all = { sentence: sentence.value, second: second.value, fault: fault.value, head: this.head, word: this.at };
    const said = new URLSearchParams(Object.entries(all).filter(([, value]) => value || value === 0));
    history.replaceState(history.state, "", `#${said}`);
  }
  // Beside what was used last: a reader at the end of the page does not see its beginning.
  say(text, wrong) {
    for (const [at, status] of this.root.querySelectorAll(".ask-status").entries()) {
      status.textContent = at === this.place ? text : "";
      status.classList.toggle("ask-wrong", !!wrong);
    }
  }
  // What is not right about a sentence, before anything is loaded for it.
  wrong(text) {
    const count = text.split(/\s+/).filter(Boolean).length, { words } = this.data;
    return !count ? "Type a sentence first." : count > words ? `That is ${count} words; this page shows at most ${words}.` : "";
  }
  async look(text = this.form.elements.sentence.value, place = 0) {
    this.place = place;
    const { fault } = this.form.elements, wrong = this.wrong(text);
    if (wrong) return this.say(wrong, true);
    const [layer, head] = this.head.split("-").map(Number), part = (name) => this.root.querySelector(`.ask-${name}`);
    // Another word's answers are on their way: what is below stays where it is.
    part("figure").style.minHeight = `${part("figure").offsetHeight}px`;
    const found = await this.ask({ sentence: text, layer, head, at: this.at, bug: fault.value }, layer + 1);
    if (!found) return;
    this.asked = text;
    this.at = found.at;
    const inside = part("figure").contains(document.activeElement);
    part("figure").innerHTML = found.figure;
    part("figure").style.minHeight = "";
    if (inside) part("figure").querySelector(":checked").focus({ preventScroll: true });
    part("numbers").innerHTML = found.numbers;
    part("broken").innerHTML = found.broken ?? "";
    part("broken").hidden = !found.broken;
    for (const [number, line] of this.root.querySelectorAll(".ask-layer").entries()) {
      line.classList.toggle("ask-seen", number in found.maps);
      line.style.setProperty("--map", found.maps[number] ? `url(${found.maps[number]})` : "none");
    }
    part("result").hidden = false;
    const unknown = found.words.filter((word) => word === "[UNK]").length;
    this.say(`Layer ${layer}, head ${head}: ${found.said}${unknown ? " [UNK] stands for letters that the model does not know." : ""}`);
    this.save();
  }
  async compare() {
    const { sentence, second, fault } = this.form.elements, wrong = this.wrong(sentence.value) || this.wrong(second.value);
    this.place = 2;
    if (wrong) return this.say(wrong, true);
    const found = await this.ask({ first: sentence.value, second: second.value, bug: fault.value }, this.data.layers);
    if (!found) return;
    this.compared = true;
    const [right, broken] = found.near;
    this.form.elements.near.textContent = `Cosine ${right}${broken ? `; broken: ${broken}` : ""}.`;
    this.say("");
    this.save();
  }
  // One question at a time; of those that come meanwhile, the last.
  async ask(request, layers) {
    if (this.busy) return new Promise((done) => { this.next?.done(null); this.next = { request, layers, done }; });
    this.busy = true;
    this.form.elements.stop.hidden = false;
    const { folder, common, files } = this.data, wanted = [...common, ...files.slice(0, layers)];
    const left = wanted.filter(([name]) => !this.kept?.has(name)).length;
    this.say(left ? "Loading Python and the model …" : "Computing …");
    const found = await new Promise((done) => {
      this.done = done;
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data }) => {
        if (!data.kept) return done(data);
        this.kept.add(data.kept);
        const come = wanted.filter(([name]) => this.kept.has(name)).length;
        this.say(come < wanted.length ? `Loading the model: ${come} of ${wanted.length} files …` : "Computing …");
      };
      try {
        if (!this.worker) {
          this.worker = new Worker(new URL("ask-worker.mjs", site), { type: "module" });
          this.kept = new Set();
          this.worker.onerror = () => this.explain();
        }
        this.worker.postMessage({ request: { folder, ...request }, files: wanted }, [port2]);
      } catch {
        this.end("A page opened as a file cannot run Python: it needs a server. The recorded sentences work all the same.", true);
      }
    });
    this.busy = false;
    this.form.elements.stop.hidden = true;
    if (this.next) {
      const { request, layers, done } = this.next;
      this.next = null;
      this.ask(request, layers).then(done);
      return null;
    }
    if (found?.error) this.say(found.error, true);
    return found?.error ? null : found;
  }
  end(text, wrong) {
    this.worker?.terminate();
    this.worker = null;
    this.next?.done(null);
    this.next = null;
    this.done?.(null);
    this.say(text, wrong);
  }
  async explain() {
    this.end("It did not work.", true);
    const { status } = await fetch(new URL(`runtime/${this.data.common[0][0]}`, site), { method: "HEAD", cache: "no-store" }).catch(() => ({ status: 0 }));
    this.say({
      0: "The site cannot be reached: are you offline? The recorded sentences work all the same. Ask again later.",
      404: "This copy of the site was made without Python and the model, so it shows the recorded sentences only.",
    }[status] ?? "Loading was interrupted, or Python cannot run here: the browser's console says why. Ask again to retry.", true);
  }
});
