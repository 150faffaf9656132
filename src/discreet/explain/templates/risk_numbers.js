"use strict";
// What any attacker reaches at most: the formulas of docs/proofs/risk.md, as discreet.profiles has them in Python.
const risk = (function () {
  const ROOT2 = Math.SQRT2, ROOT_PI = Math.sqrt(Math.PI);

  // e^(x²)·erfc(x) for x >= 0: the series of erf, or Laplace's continued fraction where that has converged.
  function scaledErfc(x) {
    if (x < 2) { return Math.exp(x * x) * (1 - erf(x)); }
    let tail = x;
    for (let k = 150; k > 0; k -= 1) { tail = x + k / 2 / tail; }
    return 1 / (ROOT_PI * tail);
  }

  function erf(x) {
    if (x < 0) { return -erf(-x); }
    if (x >= 2) { return 1 - Math.exp(-x * x) * scaledErfc(x); }
    let term = x, sum = x;
    for (let n = 1; term > sum * 1e-17 && n < 200; n += 1) {
      term *= 2 * x * x / (2 * n + 1);
      sum += term;
    }
    return 2 / ROOT_PI * Math.exp(-x * x) * sum;
  }

  // The normal distribution function: each tail to full precision.
  function normal(z) {
    return z < 0 ? Math.exp(-z * z / 2) * scaledErfc(-z / ROOT2) / 2 : 1 - Math.exp(-z * z / 2) * scaledErfc(z / ROOT2) / 2;
  }

  function quantile(share) {
    if (share > 0.5) { return -quantile(1 - share); }
    let low = -40, high = 0;
    for (let turn = 0; turn < 100 && low < high; turn += 1) {
      const middle = (low + high) / 2;
      if (normal(middle) < share) { low = middle; } else { high = middle; }
    }
    return (low + high) / 2;
  }

  // δ(ε) of Gaussian noise: Φ(μ/2 - ε/μ) - e^ε·Φ(-μ/2 - ε/μ), written so that no e^ε appears.
  function gaussianDelta(mu, epsilon) {
    const a = mu / 2 - epsilon / mu, b = -mu / 2 - epsilon / mu, density = Math.exp(-a * a / 2);
    const first = a > 0 ? normal(a) : density * scaledErfc(-a / ROOT2) / 2;
    return Math.max(0, first - density * scaledErfc(-b / ROOT2) / 2);
  }

  // The Gaussian noise, by its μ, that just has these (ε, δ).
  function gaussianMu(epsilon, delta) {
    let low = Math.log(1e-9), high = Math.log(1e3);
    for (let turn = 0; turn < 80; turn += 1) {
      const middle = (low + high) / 2;
      if (gaussianDelta(Math.exp(middle), epsilon) <= delta) { low = middle; } else { high = middle; }
    }
    return Math.exp(low);
  }

  // A curve: the best true-positive rate at a false-positive rate, and δ at another ε.
  function worstCase(epsilon, delta) {
    const odds = Math.exp(epsilon);
    return {
      rate: (a) => Math.min(1, odds * a + delta, 1 - Math.max(0, 1 - delta - a) / odds),
      delta: (at) => delta + (1 - delta) * Math.max(0, -Math.expm1(at - epsilon)) / (1 + 1 / odds),
    };
  }

  function gaussian(epsilon, delta) {
    const mu = gaussianMu(epsilon, delta), worst = worstCase(epsilon, delta);
    return {
      rate: (a) => (a <= 0 || a >= 1 ? a : Math.min(worst.rate(a), normal(quantile(a) + mu))),
      delta: (at) => Math.min(worst.delta(at), at === 0 ? erf(mu / Math.sqrt(8)) : gaussianDelta(mu, at)),
    };
  }

  function bounds(curve, given) {
    const rate = curve.rate(given.false_positive_rate), rare = Math.min(given.prior, 1 - given.prior);
    const found = given.prior * rate;
    return {
      posterior: given.prior / (given.prior + (1 - given.prior) * Math.exp(-given.epsilon)),
      odds: Math.exp(given.epsilon),
      true_positive_rate: rate,
      precision: found / (found + (1 - given.prior) * given.false_positive_rate),
      accuracy: 1 - rare * (1 - curve.delta(Math.max(0, Math.log1p(-rare) - Math.log(rare)))),
      success: curve.rate(given.baseline),
      advantage: curve.delta(0),
    };
  }

  function curves(given) {
    return {
      worst: worstCase(given.epsilon, given.delta),
      gaussian: given.delta > 0 ? gaussian(given.epsilon, given.delta) : null,
    };
  }

  // The numbers of both curves; no Gaussian noise has a δ of 0.
  function numbers(given) {
    const both = curves(given);
    return {
      worst: bounds(both.worst, given),
      gaussian: both.gaussian === null ? null : bounds(both.gaussian, given),
    };
  }

  // ---- numbers in words, rounded up; the same as discreet.explain.words has them

  function general(value, digits) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e"), power = Number(exponent);
    if (power >= -4 && power < digits) { return String(Number(value.toFixed(Math.max(0, digits - 1 - power)))); }
    return Number(mantissa) + "e" + (power < 0 ? "-" : "+") + String(Math.abs(power)).padStart(2, "0");
  }

  function atMost(bound, more = 0) {
    const value = bound * 100;
    if (value <= 0) { return "0 %"; }
    if (value > 99.99) { return "100 %"; }
    const size = Math.pow(10, more + (value < 1 || value > 99 ? 2 : value < 10 ? 1 : 0));
    return general(Math.max(1, Math.ceil(value * size - 1e-9)) / size, 6) + " %";
  }

  function percent(share) {
    if (share <= 0) { return "0 %"; }
    const value = share * 100;
    if (value >= 100) { return general(Math.round(value), 6) + " %"; }
    if (value < 0.01) { return "under 0.01 %"; }
    if (value > 99) { return value > 99.99 ? "over 99.99 %" : general(Math.floor(value * 100) / 100, 6) + " %"; }
    return general(Number(value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0)), 6) + " %";
  }

  function upwards(value, digits) {
    if (value === 0) { return "0"; }
    const text = general(value, digits);
    if (Number(text) >= value * (1 - 1e-12)) { return text; }
    return general(value + Math.pow(10, Math.floor(Math.log10(value)) - digits + 1), digits);
  }

  function delta(value) {
    if (value === 0) { return "0"; }
    let text = value.toExponential(2);
    if (Number(text) < value) { text = (value * 1.005).toExponential(2); }
    const [mantissa, exponent] = text.split("e"), power = Number(exponent);
    return Number(mantissa) + "e" + (power < 0 ? "-" : "+") + String(Math.abs(power)).padStart(2, "0");
  }

  function factor(bound) {
    if (bound >= 1e5) { return "over 100,000"; }
    return bound < 1000 ? upwards(bound, 3) : Number(upwards(bound, 3)).toLocaleString("en-US");
  }

  function once(probability) {
    return "1 in " + Math.floor(1 / probability * (1 + 1e-12)).toLocaleString("en-US");
  }

  return { numbers, curves, erf, normal, quantile, gaussianDelta, gaussianMu, atMost, percent, upwards, delta, factor, once };
})();
