// Reads checkpoints in the browser. The rows, names and limits come from the Python atlas as data.
const fail = why => { throw new Error(why) }
const natural = n => Number.isSafeInteger(n) && n >= 0
const object = x => x && typeof x === 'object' && !Array.isArray(x)

export async function readHeader(file, atlas) {
  const head = new Uint8Array(await file.slice(0, 8).arrayBuffer())
  const start = new TextDecoder('latin1').decode(head)
  if (start.startsWith('version ')) fail('a Git LFS pointer, not the file it points to')
  if (start.startsWith('GGUF')) fail('GGUF, whose tensors are mostly quantised')
  if (start.startsWith('PK\x03\x04') || head[0] === 0x80 && head[1] < 6) fail('a pickle, which is never opened')
  const length = head.length < 8 ? Infinity : Number(new DataView(head.buffer).getBigUint64(0, true))
  if (length > file.size - 8) fail(`the header must fit the file of ${file.size} bytes: cut short, or no .safetensors file`)
  if (length > atlas.largest_header) fail(`the header must have at most ${atlas.largest_header} bytes, got ${length}`)
  let text, found
  try { text = new TextDecoder('utf-8', { fatal: true }).decode(await file.slice(8, 8 + length).arrayBuffer()) } catch { fail('the header must be UTF-8') }
  try { found = JSON.parse(text) } catch { fail('the header must be JSON') }
  if (!object(found)) fail('the header must be a JSON object')
  const tensors = new Map(), base = 8 + length
  for (const [name, entry] of Object.entries(found)) {
    if (name === '__metadata__') continue
    const { dtype, shape, data_offsets: at } = object(entry) ? entry : {}
    if (!Array.isArray(shape) || shape.length > 32 || !shape.every(natural) || !Array.isArray(at) || at.length !== 2 || !at.every(natural))
      fail(`${name} must have a shape and two offsets, in sizes from 0`)
    if (!Object.hasOwn(atlas.bits, dtype)) fail(`${name} must have a known dtype, got ${dtype}`)
    const bits = shape.reduce((a, b) => a * BigInt(b), BigInt(atlas.bits[dtype]))
    if (bits !== 8n * (BigInt(at[1]) - BigInt(at[0]))) fail(`${name} must take ${bits / 8n} bytes, got ${at[1]} - ${at[0]}`)
    tensors.set(name, { name, dtype, shape, begin: base + at[0], end: base + at[1] })
  }
  let end = base
  for (const t of [...tensors.values()].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (t.begin !== end) fail(`${t.name} must begin where the tensor before it ends = ${end - base}, got ${t.begin - base}`)
    end = t.end
  }
  if (end !== file.size) fail(`the file must end with its last tensor = ${end} bytes, got ${file.size}`)
  return tensors
}

const counts = (part, { n_heads }) => object(part) && [...n_heads, 'decoder_attention_heads'].some(n => n in part)

function facts(config, path, names) {
  let models = []
  for (let part = config; part;) {
    if (part !== config) config = { ...Object.fromEntries(Object.entries(config).filter(([, v]) => !object(v))), ...part }
    if (typeof part.model_type === 'string') models.push(part.model_type)
    const parts = Object.entries(config).filter(([, v]) => object(v) && (counts(v, names) || Object.values(v).some(w => counts(w, names))))
      .map(([name, v]) => [name.replace(/_config$/, ''), v])
    const named = parts.find(([name]) => [name, ...names.also_called[name] ?? []].some(w => new RegExp(`(^|[._])${w.replace(/\W/g, '\\$&')}`).test(path)))
    part = (named ?? names.default.map(d => parts.find(([name]) => name === d)).find(Boolean))?.[1]
  }
  const count = (list, from = config) => {
    const name = list.find(n => from[n] != null)
    if (!name) return null
    let value = from[name]
    const staged = Array.isArray(value), stage = path.match(/\d+/)
    if (staged) value = value[stage?.[0]]
    if (!Number.isInteger(value) || value < 1) fail(`${name} must be an integer of at least 1, got ${JSON.stringify(value)}`)
    count.staged = staged
    return value
  }
  const side = path.toLowerCase().includes('decoder') ? 'decoder' : 'encoder'
  const q = count([`${side}_attention_heads`, `num_${side}_attention_heads`, ...names.n_heads]), staged = count.staged
  let kv
  if (models.some(m => names.multi_query.includes(m)) && config.new_decoder_architecture !== true) {
    if (typeof config.multi_query !== 'boolean') fail('multi_query must be true or false')
    kv = config.multi_query ? 1 : q
  } else kv = count(['kv_n_heads'], config.attn_config ?? {}) ?? count(names.n_kv_heads) ?? q
  return { q, kv, d_model: staged ? null : count(names.d_model), d_head: count(names.d_head), models }
}

export function findModules(tensors, config, atlas, given) {
  const found = new Map(), refused = new Map(), taken = new Set()
  const weight = n => n.replace('{}', 'weight'), join = (p, n) => p ? `${p}.${n}` : n
  const paths = end => [...tensors.keys()].filter(k => k === end || k.endsWith('.' + end)).map(k => k.slice(0, -end.length - 1))
  const known = path => { try { return facts(config, path, atlas.names).models } catch { return [config.model_type] } }
  for (const strict of [true, false]) for (const row of atlas.layouts) {
    const [first, ...rest] = Object.keys(row.tensors).map(weight)
    for (const path of paths(first)) {
      const has = n => tensors.has(join(path, n)), key = join(path, first)
      if (taken.has(key) || found.has(path) || !rest.every(has) || !row.out.map(weight).some(has)) continue
      if (!strict) refused.set(path, `the order inside ${key} must be known from the model_type, got ${known(path).join(' / ') || 'no config'}`)
      else if (row.models.length && !known(path).some(m => row.models.includes(m))) continue
      else found.set(path, row)
      taken.add(key)
    }
  }
  for (const [end, why] of Object.entries(atlas.breaks)) for (const path of paths(weight(end)))
    if (!found.has(path)) refused.set(path, `no single projection: ${why}`)
  const plans = []
  for (const [path, row] of found) try { plans.push(plan(tensors, path, row, config, atlas, given)) } catch (e) { refused.set(path, e.message) }
  return { plans, refused }
}

function plan(tensors, path, row, config, atlas, given) {
  const at = n => tensors.get(path ? `${path}.${n}` : n)
  const f = given?.q ? { ...given, kv: given.kv || given.q } : facts(config, path, atlas.names)
  if (!f.q) fail('head counts must be known: add config.json, or give them')
  const count = { q: f.q, g: f.q, k: f.kv, v: f.kv }, widths = {}, pieces = [], rows = {}
  const blocks = { n_heads: f.q, n_kv_heads: f.kv }[row.blocks] ?? row.blocks
  const out = row.out.find(n => at(n.replace('{}', 'weight')))
  let biases = ''
  for (const [template, roles] of [...Object.entries(row.tensors), [out, 'o']]) {
    const t = at(template.replace('{}', 'weight')), columns = row.columns.includes(template)
    if (!atlas.floats.includes(t.dtype)) fail(`${t.name} must be stored as ${atlas.floats.join(', ')}, got ${t.dtype}: quantised`)
    const module = t.name.slice(0, t.name.lastIndexOf('.')), scale = atlas.scales.find(s => tensors.has(`${module}.${s}`))
    if (scale) fail(`${t.name} must be a plain weight, got ${scale} beside it: quantised`)
    if (t.shape.length !== row.axes || t.shape.includes(0)) fail(`${t.name} must have ${row.axes} axes of at least 1, got ${t.shape}`)
    const flat = [t.shape[0], t.shape.slice(1).reduce((a, b) => a * b, 1)], [inputs, total] = columns ? flat : flat.reverse()
    const heads = [...roles].reduce((n, r) => n + (count[r] ?? 0), 0)
    if (roles.length > 1 && total % heads) fail(`the outputs of ${t.name} must be a multiple of ${heads}, got ${total}`)
    for (const r of roles) {
      widths[r] = roles.length > 1 ? total / heads * count[r] : total
      rows[r] = inputs
      if (roles.length > 1 && widths[r] % blocks) fail(`the width of ${r} must be a multiple of ${blocks} blocks, got ${widths[r]}`)
    }
    const bias = template.includes('{}') && at(template.replace('{}', 'bias'))
    if (bias) biases += roles
    if (bias && bias.shape.join() !== String(total)) fail(`${bias.name} must have ${total} entries, got ${bias.shape}`)
    pieces.push({ ...t, roles, columns, inputs, total, blocks: roles.length > 1 ? blocks : 1 })
  }
  for (const [r, n] of Object.entries(row.biases)) if (at(n)) biases += r
  const { q, k, v, o } = widths
  if (f.q % f.kv || q % f.q) fail(`${f.q} query heads must fit the width ${q} and be a multiple of ${f.kv} key heads`)
  if (q * f.kv !== k * f.q) fail(`W_Q must have the width n_heads * width of K / n_kv_heads = ${k * f.q / f.kv}, got ${q}`)
  if (v * f.q !== rows.o * f.kv) fail(`W_O must take rows of the width ${v * f.q / f.kv}, got ${rows.o}`)
  if (rows.k !== rows.q || rows.v !== rows.q || k !== v || o !== rows.q) fail('W_Q, W_K, W_V and W_O must share d_model')
  if (f.d_model && f.d_model !== rows.q) fail(`rows must have the width that config.json gives = ${f.d_model}, got ${rows.q}`)
  if (f.d_head && f.d_head !== q / f.q) fail(`heads must have the width that config.json gives = ${f.d_head}, got ${q / f.q}`)
  const bytes = atlas.bits[pieces[0].dtype] / 8
  return { path, row, pieces, widths, rows, biases: [...'qkvog'].filter(r => biases.includes(r)).join(''), n_heads: f.q, n_kv_heads: f.kv, d_head: q / f.q, d_model: rows.q, cache: (k + v) * bytes }
}

// Which role owns output number n of a piece: the place inside its block decides.
export function owner(piece, widths, n) {
  let at = n % (piece.total / piece.blocks)
  for (const r of piece.roles) if ((at -= piece.roles.length > 1 ? widths[r] / piece.blocks : piece.total) < 0) return r
}

// Any stored floats as float32, bit for bit where the format allows it.
export function floats(buffer, dtype) {
  if (dtype === 'F32') return new Float32Array(buffer)
  if (dtype === 'F64') return Float32Array.from(new Float64Array(buffer))
  const half = new Uint16Array(buffer)
  if (dtype === 'BF16') return new Float32Array(Uint32Array.from(half, h => h << 16).buffer)
  return Float32Array.from(half, h => {
    const e = h >> 10 & 31, m = h & 1023, s = h & 0x8000 ? -1 : 1
    return s * (e === 31 ? m ? NaN : Infinity : e ? (1 + m / 1024) * 2 ** (e - 15) : m * 2 ** -24)
  })
}

// Every so manyth row of a stored matrix: nothing else is read.
export async function sample(file, piece, bits, most = 96) {
  const height = piece.shape[0], width = (piece.end - piece.begin) * 8 / bits / height
  const step = Math.ceil(height / most), rows = []
  for (let r = 0; r < height; r += step) {
    const from = piece.begin + r * width * bits / 8
    rows.push([r, floats(await file.slice(from, from + width * bits / 8).arrayBuffer(), piece.dtype)])
  }
  return { rows, width }
}
