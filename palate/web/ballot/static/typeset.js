// Typesets the mathematics of a page that has no ballot, such as the verdict, and shows its images.
import { typeset } from '/ballot/maths.js'
import { show } from '/ballot/pictures.js'

show(document)
typeset(document)
// what scrolls can be reached by Tab
for (const e of document.querySelectorAll('.duel :is(pre, table)')) e.tabIndex = 0
