// Puts a page whose words the server wrote in English into the person's language. What palate's
// sentences say in English alone is marked so.
import { label, language } from '/ballot/words.js'

if (language !== 'en') label(document)
