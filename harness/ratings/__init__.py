"""Human and model judgement: answers of base and tuned model side by side, without a word on which is whose.

    rubric.py                      the five criteria in plain words, and what may be said of a pair
    sheet.py key.py                pairs, blinded; the private record that says which side is whose
    table.py page.py page.html     what raters get: a table, and a page that works from a file
    filled.py reading.py           what raters give back: as it was written, and held against the key
    preference.py agreement.py     the win rate as a measurement; Cohen's kappa between two raters
    asking.py                      what a judge model is asked, and the only form in which it is believed
    server.py                      an OpenAI-compatible address, asked within bounds of time, bytes and attempts
    judge.py orders.py judged.py   every pair in both orders; what only follows the place of an answer is a tie
    anchors.py                     earlier ratings asked again, to see a judge that has changed

A preference between two answers, and no score from 1 to 5: a win rate is what the gate can test, people agree on it
more than on grades, and there is no scale that a rater could use more kindly on one day than on another.
"""
