(figure, data, kit) => {
  const SHOWN = 5; // rows of the last letters
  const svg = figure.querySelector("svg");
  const input = figure.querySelector("input");
  const whole = (frequencies) => frequencies.reduce((sum, f) => sum + f, 0);
  
  /* All that follows from a message under frequencies: the interval [low, low + width) in units of
     1/one, exactly; the bits; and how many of them were settled before the last letter was known. */
  const encode = (message, frequencies) => {
    let [low, width, one] = [0n, 1n, 1n];
    const total = BigInt(whole(frequencies));
    for (const letter of message) {
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
    let settled = 0n;
    const common = (k) => (low << k) / one === ceil((low + width) << k, one) - 1n;
    while (settled < bits && common(settled + 1n)) settled += 1n;
    const code = bits ? m.toString(2).padStart(Number(bits), "0") : "";
    return { low, width, one, m, bits, code, settled: Number(settled) };
  };

  /* a/b as a decimal fraction, cut after so many digits. */
  const decimal = (a, b, digits) => {
    const text = ((a * 10n ** BigInt(digits)) / b).toString().padStart(digits + 1, "0");
    return text.slice(0, -digits) + "." + text.slice(-digits);
  };

  const COLOURS = ["#2B8CCE", "#D55E00", "#009E73", "#CC79A7"];
  const [LEFT, WIDTH, HEIGHT, STEP] = [44, 500, 28, 48];

  const row = (y, message, frequencies, chosen) => {
    const total = whole(frequencies);
    kit.svg(svg, "text", { x: 0, y: y + 20 }, "…".repeat(message.length > 2) + message.slice(-2));
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

  const draw = (message, frequencies, code) => {
    svg.replaceChildren();
    const first = Math.max(0, message.length - SHOWN);
    for (let n = first; n <= message.length; n++) {
      const next = n < message.length ? data.letters.indexOf(message[n]) : -1;
      row((n - first) * STEP, message.slice(0, n), frequencies, next);
    }
    const part = (a, b) => Number((a * 1000000n) / b) / 1000000;
    const offset = part((code.m * code.one) - (code.low << code.bits), code.width << code.bits);
    const share = part(code.one, code.width << code.bits);
    const y = (message.length - first) * STEP + HEIGHT + 3;
    kit.svg(svg, "rect", {
      x: LEFT + WIDTH * offset, y, width: Math.max(2, WIDTH * share), height: 8, "data-sent": "",
    });
    const digits = String(code.one).length - String(code.width).length + 4;
    const ends = [code.low, code.low + code.width].map((end) => decimal(end, code.one, digits));
    kit.svg(svg, "text", { x: LEFT, y: y + 26, "data-low": "" }, ends[0]);
    kit.svg(svg, "text", { x: LEFT + WIDTH, y: y + 26, "text-anchor": "end" }, ends[1]);
  };

  const bill = (message, q) => {
    const cost = (f, letter) => -Math.log2(f[data.letters.indexOf(letter)] / whole(f));
    const sent = (f) => [...message].reduce((sum, letter) => sum + cost(f, letter), 0);
    const mean = (f) =>
      data.letters.reduce((sum, letter, i) => sum + (data.p[i] / whole(data.p)) * cost(f, letter), 0);
    const [P, Q] = [sent(data.p), sent(q)];
    const [H, cross] = [mean(data.p), mean(q)];
    const n = message.length;
    const rows = [
      [`−log₂ P = ${P.toFixed(2)}`, `n·H(p) = ${(n * H).toFixed(2)}`],
      [`−log₂ Q = ${Q.toFixed(2)}`, `n·H(p, q) = ${(n * cross).toFixed(2)}`],
      [(Q - P).toFixed(2), `n·KL(p‖q) = ${(n * (cross - H)).toFixed(2)}`],
    ];
    figure.querySelectorAll("tbody tr").forEach((line, i) =>
      line.querySelectorAll("td").forEach((cell, k) => (cell.textContent = rows[i][k])),
    );
    return { P, Q };
  };

  /* Leave out of the message what is no letter; returns a word about it. */
  const refuse = () => {
    const others = [...new Set(input.value)].filter((letter) => !data.letters.includes(letter));
    if (!others.length) return "";
    input.value = [...input.value].filter((letter) => data.letters.includes(letter)).join("");
    return `Only ${data.letters.join(", ")} can be sent, so ${others.join(" ")} was left out. `;
  };

  const sentence = (message, bits, P, Q) => {
    if (!message) return "No letter yet: the interval is [0, 1), and no bit is settled.";
    const more = Q - P;
    const amount = Math.abs(more).toFixed(2);
    const compared = amount === "0.00" ? "as many as" : `${amount} ${more > 0 ? "more" : "fewer"} than`;
    return `“${message}” takes ${bits} bits. Ideal: −log₂ Q = ${Q.toFixed(2)}, ${compared} with q = p.`;
  };

  const moved = kit.controls(figure, ({ model }) => {
    const refused = refuse();
    const q = data.models[model];
    const message = input.value;
    const code = encode(message, q);
    draw(message, q, code);
    const settled = document.createElement("b");
    settled.textContent = code.code.slice(0, code.settled);
    figure.querySelector("output").replaceChildren(settled, code.code.slice(code.settled));
    const { P, Q } = bill(message, q);
    kit.say(figure, refused + sentence(message, code.bits, P, Q));
  });
  input.addEventListener("input", moved);
  moved();
};
