// Typesets the mathematics of a page that has no ballot, such as the verdict, and shows its images.
import { typeset } from '/ballot/maths.js'
import { show } from '/ballot/pictures.js'

show(document)
typeset(document)
