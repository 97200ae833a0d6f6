// Answers queries from the index of `search.py`, in place of Sphinx's own ranking.

/** The words of the index that a word of a query may mean, and how much each counts. */
function meanings(word, index) {
    const known = Object.keys(index.weights);
    const longer = word.length < 4 ? [] : known.filter(other => other.startsWith(word));
    const found = new Map(longer.map(other => [other, 0.2]));
    if (word in index.weights) found.set(word, 1);
    return found.size > 0 ? found : new Map(mended(word, known).map(other => [other, 0.5]));
}

/** The known words that one may have meant who made a slip. */
function mended(word, known) {
    return word.length < 5 ? [] : known.filter(other => oneSlip(word, other));
}

/** Whether one letter is missing, too many or wrong, or two neighbours are swapped. */
function oneSlip(a, b) {
    let start = 0;
    while (start < a.length && a[start] === b[start]) start++;
    const [left, right] = [a.slice(start), b.slice(start)];
    return left.slice(1) === right || left === right.slice(1) || left.slice(1) === right.slice(1)
        || (left[0] === right[1] && left[1] === right[0] && left.slice(2) === right.slice(2));
}

/** Pages that have every word of a query: rare words and repeated ones count more. */
function findPages(query, index) {
    const scores = index.docnames.map(() => 0);
    const missing = index.docnames.map(() => query.length);
    for (const words of query) {
        const weights = new Map();
        for (const [word, factor] of words)
            for (const [page, weight] of Object.entries(index.weights[word]))
                weights.set(page, (weights.get(page) ?? 0) + factor * weight);
        for (const [page, weight] of weights) {
            scores[page] += Math.log1p(weight) * Math.log1p(index.docnames.length / weights.size);
            missing[page]--;
        }
    }
    const found = [...missing.keys()].filter(page => missing[page] === 0);
    const best = Math.max(...found.map(page => scores[page]));
    return found.map(page =>
        result(index, page, index.titles[page], "", index.shares[page] * scores[page] / best));
}

/** Sections, terms and objects whose name has every word of a query: short names count more. */
function findNames(query, index) {
    return index.names.flatMap(([page, name, anchor, own]) => {
        const met = query.map(words => Math.max(0, ...own.map(word => words.get(word) ?? 0)));
        if (met.includes(0)) return [];
        const exactness = Math.min(1, met.reduce((sum, factor) => sum + factor) / own.length);
        const title = `${index.titles[page]} > ${name}`;
        return [result(index, page, title, `#${anchor}`, index.shares[page] * (1 + exactness) / 2)];
    });
}

/** A result as Sphinx shows it. */
function result(index, page, title, anchor, score) {
    return [index.docnames[page], title, anchor, null, score, index.filenames[page]];
}

Search._performSearch = (text, words) => {
    const index = Search._index;
    // Single letters are names in formulas, which the index leaves out.
    const telling = [...words].filter((word, _, all) => word.length > 1 || all.length === 1);
    const query = telling.map(word => meanings(word, index));
    if (query.length === 0) return [];
    sayWhatIsShown(telling, query);
    const results = [...findNames(query, index), ...findPages(query, index)];
    return results.sort((a, b) => a[4] - b[4]); // Sphinx shows the last one first
};

/** Where words of a query are not known, say which ones are shown in their place. */
function sayWhatIsShown(words, query) {
    document.querySelector("#search-results .mended")?.remove();
    const others = words.flatMap((word, i) =>
        query[i].size > 0 && ![...query[i].keys()].some(other => other.startsWith(word))
            ? [[...query[i].keys()].join(" or ")] : []);
    if (others.length === 0) return;
    const note = document.createElement("p");
    note.className = "mended";
    note.textContent = `Showing ${others.join(", ")}.`;
    Search.output.before(note);
}

/** The prose of a page, or of a place on it. */
function prose(html, anchor) {
    const article = new DOMParser().parseFromString(html, "text/html").querySelector("article");
    for (const unread of article.querySelectorAll(".headerlink, script, style, pre, .cell"))
        unread.remove();
    for (const formula of article.querySelectorAll(".math")) formula.replaceWith("…");
    for (const term of article.querySelectorAll("dt"))
        term.append(term.textContent.trim().endsWith(":") ? " " : ": ");
    const place = anchor ? article.querySelector(`[id="${anchor.slice(1)}"]`) : article;
    const definition = place.tagName === "DT" ? place.nextElementSibling.textContent : "";
    return (place.textContent + definition).replace(/\s+/g, " ").trim();
}

/** The prose around the words of a query: in a row if they stand so, or around the first of any. */
Search.makeSearchSummary = (html, words, anchor) => {
    const text = prose(html, anchor);
    const position = ["\\p{L}*[\\s\\p{Pd}]+", "|"]
        .map(link => new RegExp(`(?<![\\p{L}\\p{N}])(?:${[...words].join(link)})`, "iu"))
        .map(pattern => text.search(pattern))
        .find(position => position >= 0) ?? 0;
    const start = position < 120 ? 0 : text.indexOf(" ", position - 120) + 1;
    const end = text.length < start + 240 ? text.length : text.lastIndexOf(" ", start + 240);
    const summary = document.createElement("p");
    summary.className = "context";
    const [before, after] = [start > 0 ? "… " : "", end < text.length ? " …" : ""];
    const passage = text.slice(start, end).replace(/^[…\s]+|[…\s]+$/g, ""); // a formula at an end
    summary.textContent = before + passage + after;
    return summary;
};
