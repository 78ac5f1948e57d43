// Typesets the mathematics of a page that has no ballot, such as the verdict.
import { typeset } from '/ballot/maths.js'

typeset(document)
