// Tables that sort and filter, and the page that opens a checkpoint. Without script both stay readable.
import { findModules, owner, printable, readConfig, readHeader, sample } from './reader.js'
const $ = (tag, props = {}, ...kids) => {
  const e = Object.assign(document.createElement(tag), props, props.textContent == null ? {} : { textContent: printable(props.textContent) })
  e.append(...kids)
  return e
}
const MOST = 300

for (const table of document.querySelectorAll('table[id]')) for (const [at, th] of [...table.tHead.rows[0].cells].entries()) {
  const button = $('button', { type: 'button', textContent: th.textContent, title: 'Sort' })
  button.onclick = () => {
    const up = th.getAttribute('aria-sort') !== 'ascending'
    for (const other of th.parentNode.cells) other.removeAttribute('aria-sort')
    th.setAttribute('aria-sort', up ? 'ascending' : 'descending')
    const rows = [...table.tBodies[0].rows].sort((a, b) => a.cells[at].textContent.localeCompare(b.cells[at].textContent, 'en', { numeric: true }))
    table.tBodies[0].append(...up ? rows : rows.reverse())
  }
  th.replaceChildren(button)
}
for (const field of document.querySelectorAll('[data-grid]')) {
  const rows = [...document.getElementById(field.dataset.grid).tBodies[0].rows], box = field.closest('.grid-filter')
  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/)
    for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word))
    const left = rows.filter(row => !row.hidden).length
    box.lastChild.textContent = left ? `${left} of ${rows.length}` : 'Nothing has these words. Try a part of a name, such as “qwen” or “c_attn”.'
  }
  field.oninput = show
  box.hidden = false
  show()
}

const form = document.getElementById('wild-open')
if (form) {
  const atlas = JSON.parse(document.getElementById('wild-atlas').textContent), report = form.querySelector('output')
  const colours = { q: '--qkv-q', k: '--qkv-k', v: '--qkv-v', g: '--md-default-fg-color', o: '--md-default-fg-color' }
  const field = name => form.elements[name]
  const say = (...lines) => report.replaceChildren(...lines)
  let run = 0
  const open = async files => {
    const mine = ++run
    say($('p', { textContent: 'Reading the header …' }))
    try {
      const file = files.find(f => !f.name.endsWith('.json')), json = files.find(f => f.name.endsWith('.json'))
      if (!file) throw new Error('choose a .safetensors file')
      const config = json ? await readConfig(json, atlas) : {}
      const tensors = await readHeader(file, atlas)
      const given = +field('heads').value ? { q: +field('heads').value, kv: +field('kv').value || 0, models: [] } : null
      const found = await findModules(tensors, config, atlas, given)
      if (mine === run) show(file, found, tensors.size, [...tensors.keys()])
    } catch (error) {
      if (mine === run) say($('p', { className: 'wild-error', textContent: `Refused: ${error.message}` }))
    }
  }
  const show = (file, { plans, refused, layers }, count, names) => {
    const few = plans.slice(0, MOST), choice = $('select', { name: 'module' }, ...few.map((p, n) => $('option', { value: n, textContent: p.path })))
    const body = $('div'), sum = key => plans.reduce((n, p) => n + p[key], 0), source = sum('source')
    choice.onchange = () => detail(file, plans[choice.value], body)
    say($('p', { textContent: `${file.name}: ${count} tensors, ${plans.length} attention modules read, ${refused.size} refused; ${sum('cache')} cache bytes a token in ${refused.size || layers.some(l => !l.accounted) ? 'the modules read' : 'all'}${source ? `, and ${source} once a text for each of its rows` : ''}.`, className: 'wild-sum' }))
    if (!plans.length) report.append($('p', { textContent: `No attention was found in it. ${refused.size ? 'The reasons stand below.' : `Its first tensors are ${names.slice(0, 3).join(', ')}. A shard may hold other layers: try the next one. An adapter or a quantised file has names of its own: the command line says what it sees, qkvdocs wild FILE.`}` }))
    if (layers.length) report.append($('ul', {}, ...layers.slice(0, MOST).map(l => $('li', { textContent: `${l.stem}${l.numbers.length ? `.{${l.numbers.slice(0, 12).join(', ')}${l.numbers.length > 12 ? ', …' : ''}}` : ''}: ${l.what}` }))))
    if (plans.length) { report.append($('label', {}, 'Module ', choice, plans.length > few.length ? ` and ${plans.length - few.length} more` : ''), body); choice.onchange() }
    const why = [...refused].slice(0, MOST).map(([path, reason]) => $('li', { textContent: `${path}: ${reason}` }))
    if (refused.size > MOST) why.push($('li', { textContent: `and ${refused.size - MOST} more` }))
    if (refused.size) report.append($('details', { open: !plans.length }, $('summary', { textContent: 'Refused' }), $('ul', {}, ...why)))
  }
  const detail = async (file, plan, body) => {
    const rows = [['layout', plan.row.family], ['heads', `${plan.n_heads} query, ${plan.n_kv_heads} key and value, d_head ${plan.d_head}`],
      ...Object.entries(plan.widths).map(([r, w]) => [`W_${r.toUpperCase()}`, `${plan.rows[r]} × ${w}`]),
      ['biases', [...plan.biases].map(r => `b_${r.toUpperCase()}`).join(' ') || 'none'], ['cache', { encoder: 'none: an encoder sees all positions at once', cross: `${plan.source} bytes for each row that it looks at, kept once a text`, self: `${plan.cache} bytes a token` }[plan.kind]]]
    const table = $('table', {}, ...rows.map(([a, b]) => $('tr', {}, $('th', { textContent: a, scope: 'row' }), $('td', { textContent: b }))))
    const box = $('div', { className: 'wild-pictures' })
    body.className = 'wild-found'
    body.replaceChildren(box, table)
    for (const piece of plan.pieces) {
      const line = `${piece.name}, ${piece.shape.join(' × ')} ${piece.columns ? '(in, out)' : '(out, in)'}, ${piece.dtype}: ${[...piece.roles].join(' ').toUpperCase()}`
      const canvas = $('canvas', { role: 'img' })
      canvas.setAttribute('aria-label', printable(line))
      box.append($('figure', {}, canvas, $('figcaption', {}, ...[...piece.roles].flatMap(r => [$('b', { className: r, textContent: r.toUpperCase() }), ' ']), printable(line.replace(/: [A-Z ]+$/, '')))))
      try { paint(canvas, plan, piece, await sample(file, piece, atlas.bits[piece.dtype])) } catch { canvas.replaceWith('The file has changed. Choose it again.') }
    }
  }
  const paint = (canvas, plan, piece, { rows, width }) => {
    const step = Math.ceil(width / 96), columns = Math.ceil(width / step), cell = Math.max(1, Math.min(6, Math.floor(576 / Math.max(columns, rows.length))))
    canvas.width = columns * cell; canvas.height = rows.length * cell
    const pen = canvas.getContext('2d'), style = getComputedStyle(document.body)
    const largest = rows.reduce((m, [, v]) => v.reduce((a, b) => Math.max(a, Math.abs(b) || 0), m), 0) || 1
    for (const [y, [at, values]] of rows.entries()) for (let x = 0; x < columns; x++) {
      const role = owner(piece, plan.widths, piece.columns ? x * step : Math.floor(at * piece.total / piece.shape[0]))
      pen.fillStyle = style.getPropertyValue(colours[role]) || 'gray'
      pen.globalAlpha = .15 + .85 * Math.min(1, Math.abs(values[x * step]) / largest)
      pen.fillRect(x * cell, y * cell, cell, cell)
    }
  }
  const files = () => [...field('file').files, ...field('config').files]
  form.onchange = event => { if (event.target.name !== 'module' && files().length) open(files()) }
  // Files of one layer, made here, in the layouts of two families: waves and noise for weights.
  const made = {
    gpt2: [{ model_type: 'gpt2', n_head: 4, n_embd: 48 }, { 'h.0.attn.c_attn.weight': [48, 144], 'h.0.attn.c_attn.bias': [144], 'h.0.attn.c_proj.weight': [48, 48], 'h.0.attn.c_proj.bias': [48] }],
    llama: [{ model_type: 'llama', num_attention_heads: 6, num_key_value_heads: 2, hidden_size: 48 }, Object.fromEntries(Object.entries({ q: 48, k: 16, v: 16, o: 48 }).map(([r, n]) => [`model.layers.0.self_attn.${r}_proj.weight`, [n, 48]]))],
  }
  for (const [name, [config, shapes]] of Object.entries(made)) form.elements[name].onclick = () => {
    let end = 0, seed = 7
    const header = {}, noise = () => (seed = seed * 16807 % 2147483647) / 2147483647 - .5
    for (const [tensor, shape] of Object.entries(shapes)) header[tensor] = { dtype: 'F32', shape, data_offsets: [end, end += 4 * shape.reduce((a, b) => a * b)] }
    const text = new TextEncoder().encode(JSON.stringify(header)), length = new BigUint64Array([BigInt(text.length)])
    const values = Float32Array.from({ length: end / 4 }, (_, n) => Math.sin(n * n / 4e3) * Math.cos(n / 31) + noise())
    return open([new File([length, text, values], `${name}-sample.safetensors`), new File([JSON.stringify(config)], 'config.json')])
  }
  form.onsubmit = event => event.preventDefault()
  form.ondragover = event => { event.preventDefault(); form.classList.add('over') }
  form.ondragleave = () => form.classList.remove('over')
  form.ondrop = event => { event.preventDefault(); form.classList.remove('over'); open([...event.dataTransfer.files]) }
  await form.elements.gpt2.onclick() // so that there is something to see
  form.hidden = false
}
