// What this browser keeps for the page. If it refuses, or is full, the page's memory keeps it.
const memory = new Map()
let tell = () => {}

// `call(kept)` is told whenever that changes.
export function watch(call) { tell = call }

export const isKept = () => !memory.size

export function get(name) {
  const key = `palate:${name}`
  if (memory.has(key)) return memory.get(key)
  try { return localStorage.getItem(key) } catch { return null }
}

export function set(name, value) {
  const key = `palate:${name}`
  try {
    localStorage.setItem(key, value)
    memory.delete(key)
  } catch { memory.set(key, value) }
  tell(isKept())
}

export function remove(name) {
  memory.delete(`palate:${name}`)
  try { localStorage.removeItem(`palate:${name}`) } catch { /* there is nothing */ }
}
