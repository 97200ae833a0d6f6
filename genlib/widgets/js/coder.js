(figure, data, kit) => {
  const SHOWN = 5; // rows of the last letters
  const svg = figure.querySelector("svg");
  const input = figure.querySelector("input");
  const whole = (frequencies) => frequencies.reduce((sum, f) => sum + f, 0);

  /* All that follows from a message under frequencies: the interval [low, low + width) in units of
     1/one, exactly; the bits; and with how many of them all numbers of the interval begin. */
  const encode = (letters, frequencies) => {
    let [low, width, one] = [0n, 1n, 1n];
    const total = BigInt(whole(frequencies));
    for (const letter of letters) {
      const symbol = data.letters.indexOf(letter);
      low = low * total + width * BigInt(whole(frequencies.slice(0, symbol)));
      width *= BigInt(frequencies[symbol]);
      one *= total;
    }
    const ceil = (a, b) => (a + b - 1n) / b;
    let bits = 0n;
    let m = ceil(low, one);
    while ((m + 1n) * one > (low + width) << bits) {
      bits += 1n;
      m = ceil(low << bits, one);
    }
    let common = 0n;
    const shared = (k) => (low << k) / one === ceil((low + width) << k, one) - 1n;
    while (common < bits && shared(common + 1n)) common += 1n;
    const code = bits ? m.toString(2).padStart(Number(bits), "0") : "";
    return { low, width, one, m, bits, code, common: Number(common) };
  };

  /* a/b as a decimal fraction, cut after so many digits. */
  const decimal = (a, b, digits) => {
    const text = ((a * 10n ** BigInt(digits)) / b).toString().padStart(digits + 1, "0");
    return text.slice(0, -digits) + "." + text.slice(-digits);
  };

  const COLOURS = ["#2B8CCE", "#D55E00", "#009E73", "#CC79A7"];
  const [LEFT, WIDTH, HEIGHT, STEP] = [62, 494, 28, 48];
  const FITS = 5; // letters beside a row

  const row = (y, letters, frequencies, chosen) => {
    const total = whole(frequencies);
    const label = letters.length > FITS ? ["…", ...letters.slice(1 - FITS)] : letters;
    kit.svg(svg, "text", { x: 0, y: y + 20 }, label.join(""));
    let x = LEFT;
    frequencies.forEach((frequency, i) => {
      const width = (WIDTH * frequency) / total;
      const look = { fill: COLOURS[i % 4], "fill-opacity": i === chosen ? 0.6 : 0.2 };
      kit.svg(svg, "rect", { x, y, width, height: HEIGHT, stroke: "currentColor", ...look });
      if (width > 12) {
        kit.svg(svg, "text", { x: x + width / 2, y: y + 20, "text-anchor": "middle" }, data.letters[i]);
      }
      if (i === chosen) {
        const corners = `M${x} ${y + HEIGHT}L${LEFT} ${y + STEP}H${LEFT + WIDTH}L${x + width} ${y + HEIGHT}z`;
        kit.svg(svg, "path", { d: corners, fill: COLOURS[i % 4], "fill-opacity": 0.2 });
      }
      x += width;
    });
  };

  const draw = (letters, frequencies, code) => {
    svg.replaceChildren();
    const first = Math.max(0, letters.length - SHOWN);
    for (let n = first; n <= letters.length; n++) {
      const next = n < letters.length ? data.letters.indexOf(letters[n]) : -1;
      row((n - first) * STEP, letters.slice(0, n), frequencies, next);
    }
    const part = (a, b) => Number((a * 1000000n) / b) / 1000000;
    const offset = part((code.m * code.one) - (code.low << code.bits), code.width << code.bits);
    const share = part(code.one, code.width << code.bits);
    const y = (letters.length - first) * STEP + HEIGHT + 3;
    kit.svg(svg, "rect", {
      x: LEFT + WIDTH * offset, y, width: Math.max(2, WIDTH * share), height: 8, "data-sent": "",
    });
    const digits = String(code.one).length - String(code.width).length + 4;
    const ends = [code.low, code.low + code.width].map((end) => decimal(end, code.one, digits));
    kit.svg(svg, "text", { x: LEFT, y: y + 26, "data-low": "" }, ends[0]);
    kit.svg(svg, "text", { x: LEFT + WIDTH, y: y + 26, "text-anchor": "end" }, ends[1]);
  };

  const bill = (letters, q) => {
    const cost = (f, letter) => -Math.log2(f[data.letters.indexOf(letter)] / whole(f));
    const ideal = (f) => letters.reduce((sum, letter) => sum + cost(f, letter), 0);
    const mean = (f) =>
      data.letters.reduce((sum, letter, i) => sum + (data.p[i] / whole(data.p)) * cost(f, letter), 0);
    const [P, Q] = [ideal(data.p), ideal(q)];
    const [H, cross] = [mean(data.p), mean(q)];
    const n = letters.length;
    const rows = [
      [`−log₂ P = ${kit.number(P, 2)}`, `n·H(p) = ${kit.number(n * H, 2)}`],
      [`−log₂ Q = ${kit.number(Q, 2)}`, `n·H(p, q) = ${kit.number(n * cross, 2)}`],
      [kit.number(Q - P, 2), `n·KL(p‖q) = ${kit.number(n * (cross - H), 2)}`],
    ];
    figure.querySelectorAll("tbody tr").forEach((line, i) =>
      line.querySelectorAll("td").forEach((cell, k) => (cell.textContent = rows[i][k])),
    );
    return { P, Q };
  };

  /* Leave out of the message what is no letter, and what is too much; returns a word about it. */
  const refuse = () => {
    const others = [...new Set(input.value)].filter((letter) => !data.letters.includes(letter));
    const known = [...input.value].filter((letter) => data.letters.includes(letter));
    const kept = known.slice(0, data.longest).join("");
    if (kept !== input.value) input.value = kept;
    const named = others.map((letter) => (letter.trim() ? `“${letter}”` : "a space"));
    let words = "";
    if (others.length) words += `Only ${data.letters.join(", ")} can be sent; left out: ${[...new Set(named)].join(", ")}. `;
    if (known.length > data.longest) words += `A message has at most ${data.longest} letters; the rest was left out. `;
    return words;
  };

  const sentence = (message, bits, P, Q) => {
    if (!message) return "No letter yet: the interval is [0, 1), and no bit is needed.";
    const more = Q - P;
    const amount = kit.number(Math.abs(more), 2);
    const compared = amount === "0.00" ? "as many as" : `${amount} ${more > 0 ? "more" : "fewer"} than`;
    const sent = bits === 1n ? "1 bit" : `${bits} bits`;
    return `“${message}”: ${sent} sent. Ideal length: −log₂ Q = ${kit.number(Q, 2)}, ${compared} with q = p.`;
  };

  const moved = kit.controls(figure, ({ model }) => {
    const refused = refuse();
    const q = data.models[model];
    const letters = [...input.value]; // by characters, of which some are two units of a string
    const code = encode(letters, q);
    draw(letters, q, code);
    const common = document.createElement("b");
    common.textContent = code.code.slice(0, code.common);
    figure.querySelector("output").replaceChildren(common, code.code.slice(code.common));
    const { P, Q } = bill(letters, q);
    kit.say(figure, refused + sentence(input.value, code.bits, P, Q));
  });
  input.addEventListener("input", moved);
  moved();
};
