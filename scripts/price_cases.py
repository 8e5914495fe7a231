#!/usr/bin/env python3
"""Writes the table that the price sheet is tested with.

    python3 -m venv /tmp/prices && /tmp/prices/bin/pip install genai-prices
    /tmp/prices/bin/python scripts/price_cases.py

It asks the package itself what requests cost: a few on the edges, and some
hundreds drawn by a fixed seed. Run it after scripts/prices.py, with the same
version of the package.
"""

import datetime
import importlib.metadata
import pathlib
import random
from decimal import ROUND_HALF_EVEN, Decimal

from genai_prices import data, types

PRICES = pathlib.Path(__file__).parent.parent / "crates/control/src/prices"
# What the sheet has, and units that a case has none of.
KNOWN = {
    "input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "output_mtok",
    "web_searches_kcount", "storage_searches_kcount",
}
# Providers with hundreds of like models are drawn from less.
SHARE = {"openrouter": 0.02, "novita": 0.05, "together": 0.1, "aws": 0.2}
DRAWN = 400

NOON = "2026-11-22T12:00:00Z"
# Provider, model, time, tier, input, cache read, cache written, of that for
# long, output.
EDGES = [
    ("openai", "gpt-5.4", NOON, "-", 272000, 0, 0, 0, 1000),
    ("openai", "gpt-5.4", NOON, "-", 272001, 0, 0, 0, 1000),
    ("openai", "GPT-5.4-2026-03-05", NOON, "flex", 1000, 500, 0, 0, 1000),
    ("openai", "gpt-5.4", "2026-10-11T23:59:59Z", "flex", 1000, 500, 0, 0, 1000),
    ("openai", "gpt-5.4", NOON, "unheard", 1000, 0, 0, 0, 0),
    ("azure", "gpt-5.4", NOON, "-", 1000, 0, 0, 0, 50),
    ("anthropic", "claude-opus-5", NOON, "-", 1000, 400, 300, 100, 50),
    ("anthropic", "claude-opus-5-20260501", NOON, "fast", 1000, 400, 300, 100, 50),
    ("anthropic", "claude-opus-5-5", NOON, "batch", 1000, 400, 300, 100, 50),
    ("anthropic", "nonsense", NOON, "-", 1000, 0, 0, 0, 50),
    ("deepseek", "deepseek-chat", "2026-11-22T00:29:59Z", "-", 1000, 0, 0, 0, 5),
    ("deepseek", "deepseek-chat", "2026-11-22T00:30:00Z", "-", 1000, 0, 0, 0, 5),
    ("deepseek", "deepseek-chat", "2026-11-22T16:30:00Z", "-", 1000, 0, 0, 0, 5),
    ("google", "gemini-2.5-pro", NOON, "batch", 250000, 0, 0, 0, 5),
]


def context(tier):
    match tier:
        case "-":
            return None
        case "batch":
            return {"processing": tier}
        case _:
            return {"service_tier": tier, "speed": tier}


def cost(provider, model, at, tier, whole, read, written, long, output):
    """Dollars, None without a price, or an error if the sheet lacks a unit."""
    found = provider.find_model(model, all_providers=data.providers)
    if found is None:
        return None
    at = datetime.datetime.fromisoformat(at)
    prices = found.get_prices(at, context(tier))
    units = {unit for unit, price in vars(prices).items() if price is not None}
    if not units <= KNOWN or not {"input_mtok", "output_mtok"} <= units:
        raise LookupError(f"{provider.id} {model} is priced by {units - KNOWN}")
    usage = types.Usage(
        input_tokens=whole,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=long,
        output_tokens=output,
    )
    return prices.calc_price(usage)["total_price"]


def line(case):
    provider = next(entry for entry in data.providers if entry.id == case[0])
    dollars = cost(provider, *case[1:])
    if dollars is None:
        return "\t".join([*map(str, case), "-"])
    dollars = dollars.quantize(Decimal("1e-9"), ROUND_HALF_EVEN).normalize()
    return "\t".join([*map(str, case), f"{dollars:f}"])


def names(model):
    """The model's own name, and such as its rule matches."""
    found = {model.id}
    rules = [model.match]
    while rules:
        match rules.pop():
            case types.ClauseOr(or_=parts):
                rules.extend(parts)
            case types.ClauseEquals(equals=text):
                found.add(text)
            case types.ClauseStartsWith(starts_with=text):
                found.add(f"{text}x")
    return found


def drawn():
    chance = random.Random(11)
    listed = {path.stem for path in (PRICES / "sheet").glob("*.jsonl")}
    pool = sorted(
        (provider.id, name)
        for provider in data.providers
        if provider.id in listed
        for model in provider.models
        for name in names(model)
    )
    chance.shuffle(pool)
    lines = []
    for provider, model in pool:
        if chance.random() > SHARE.get(provider, 0.35):
            continue
        whole = chance.choice([1000, 100000, 200000, 200001, 300000, 1500000])
        written = chance.randrange(whole // 3)
        counts = (whole, chance.randrange(whole // 3), written, chance.randrange(written + 1))
        today = f"2026-11-22T{chance.randrange(24):02}:{chance.randrange(60):02}:00Z"
        at = chance.choice([today, f"2026-{chance.randrange(1, 11):02}-10T05:00:00Z"])
        tier = chance.choice(["-", "-", "batch", "priority", "flex", "fast"])
        try:
            lines.append(line((provider, model, at, tier, *counts, chance.randrange(50000))))
        except LookupError:
            continue
        if len(lines) == DRAWN:
            break
    return sorted(lines)


def main():
    version = importlib.metadata.version("genai-prices")
    head = f"# What requests cost by genai-prices {version} itself; the columns are in tests.rs."
    lines = [head, *map(line, EDGES), *drawn()]
    (PRICES / "testdata/sheet.tsv").write_text("\n".join([*lines, ""]))
    print(f"{len(lines) - 1} cases")


if __name__ == "__main__":
    main()
