// Puts the ballot on Gradio's page. Everything here is constant; the project's words come as JSON.
import { start } from '/ballot/ballot.js'

const style = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: '/ballot/ballot.css' })
const styled = new Promise((resolve) => { style.onload = style.onerror = resolve })
document.head.append(style)
const [html] = await Promise.all([fetch('/ballot/page.html').then((r) => r.text()), styled])
const root = document.createElement('main')
root.id = 'ballot-root'
root.innerHTML = html
document.body.append(root)
start(root.firstElementChild)
