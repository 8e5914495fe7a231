#!/usr/bin/env python3
"""Converts the prices of the package genai-prices into Freehold's price sheet.

    pip download genai-prices --no-deps --dest /tmp/prices
    scripts/prices.py /tmp/prices/genai_prices-*.whl --date 2026-11-22

The sheet is a folder of JSON lines, a file for each provider, its first line
about the file and then a line for each model. The same package always gives
the same bytes. The package's data is read as syntax; none of it is run.

What a sheet does not have: prices that are not by the token (searches, pages,
seconds, images), prices of audio and image tokens where they differ, and
variants by anything but processing, service tier and speed.
"""

import argparse
import ast
import json
import pathlib
import re
import sys
import zipfile
from decimal import ROUND_HALF_EVEN, Decimal

SHEET = pathlib.Path(__file__).parent.parent / "crates/control/src/prices/sheet"

# Products without an API of their own, and a hub's offers of other hosts.
LEFT_OUT = re.compile(r"cursor|github-copilot|huggingface_.*|.*-decisions")

# The package's words for prices by the million tokens, and ours.
PRICES = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_long",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
}


def literal(node):
    """The value of an expression of literals and constructor calls."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=elements):
            return [literal(element) for element in elements]
        case ast.Dict(keys=keys, values=values):
            return {literal(k): literal(v) for k, v in zip(keys, values, strict=True)}
        case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=text)]):
            return Decimal(text)
        case ast.Call(func=ast.Attribute(attr="date"), args=args):
            year, month, day = (literal(arg) for arg in args)
            return f"{year:04}-{month:02}-{day:02}"
        case ast.Call(func=ast.Attribute(attr="time"), args=args):
            hour, minute = (literal(arg) for arg in args[:2])
            return f"{hour:02}:{minute:02}"
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
            return {"kind": name} | {k.arg: literal(k.value) for k in keywords}
    raise ValueError(f"cannot read {ast.dump(node)[:200]}")


def providers(wheel):
    module = ast.parse(wheel.read("genai_prices/data.py"))
    for statement in module.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id="providers"), value=value):
                return literal(value)
    raise ValueError("the package has no list of providers")


def patterns(clause):
    """A match rule as patterns: `*` is any text, `#` a digit, `!` excludes."""
    match clause:
        case {"kind": "ClauseOr", "or_": parts}:
            return [pattern for part in parts for pattern in patterns(part)]
        case {"kind": "ClauseEquals", "equals": text}:
            return [text]
        case {"kind": "ClauseStartsWith", "starts_with": text}:
            return [f"{text}*"]
        case {"kind": "ClauseEndsWith", "ends_with": text}:
            return [f"*{text}"]
        case {"kind": "ClauseContains", "contains": text}:
            return [f"*{text}*"]
        case {"kind": "ClauseAnd", "and_": [first, second]}:
            return patterns(first) + patterns(second)
        case {"kind": "ClauseRegex", "regex": regex}:
            return expression(regex)
    raise ValueError(f"cannot match by {clause}")


def expression(regex):
    """The few shapes of regular expression that the package uses."""
    if regex == r"^(?!.*-[tT][tT][sS](?:$|-))":
        return ["!*-tts", "!*-tts-*"]
    body = regex.removeprefix("^")
    ends = body.endswith("$")
    found = [body.removesuffix("$")]
    for shape, choices in [("[-@]", "-@")]:
        found = [text.replace(shape, choice) for text in found for choice in choices]
    for shape, choices in [("(typesafe/)?", ["", "typesafe/"]), (r"(-\d{8})?", ["", r"-\d{8}"])]:
        found = [text.replace(shape, choice) for text in found for choice in choices]
    found = sorted(set(found), key=found.index)
    found = [re.sub(r"\\d\{(\d)\}", lambda m: "#" * int(m[1]), text) for text in found]
    found = [text.replace(r"\d", "#").replace(r"\.", ".") for text in found]
    if any(re.search(r"[\\()\[\]?+|{}^$]", text) for text in found):
        raise ValueError(f"cannot turn {regex} into a pattern")
    return found if ends else [f"{text}*" for text in found]


def amount(value):
    """A decimal to the nano-dollar; the package has a few with float's noise."""
    value = value.quantize(Decimal("1e-9"), ROUND_HALF_EVEN).normalize()
    return f"{value:f}"


def price(value):
    """`2.5`, or with the rates above a size of context `2.5 >272000:5`."""
    if isinstance(value, Decimal):
        return amount(value)
    tiers = sorted(value["tiers"], key=lambda tier: tier["start"])
    steps = [f">{tier['start']}:{amount(tier['price'])}" for tier in tiers]
    return " ".join([amount(value["base"])] + steps)


def band(prices, constraint, when=None):
    """Prices under a condition, or None if they name no price of ours."""
    rates = {ours: price(prices[theirs]) for theirs, ours in PRICES.items() if theirs in prices}
    if not rates:
        return None
    condition = {}
    match constraint:
        case None:
            pass
        case {"kind": "StartDateConstraint", "start_date": date}:
            condition["from"] = date
        case {"kind": "TimeOfDateConstraint", "start_time": start, "end_time": end}:
            condition["hours"] = f"{start}-{end}"
        case _:
            raise ValueError(f"cannot tell when {constraint} is")
    if when:
        condition["tier"] = when
    return condition | rates


def variant(when):
    """The tier of service that a variant is for, or None for another axis."""
    match when:
        case {"processing": word} | {"service_tier": word} | {"speed": word} if len(when) == 1:
            return word
    return None


def bands(model):
    prices = model["prices"]
    if isinstance(prices, dict):
        prices = [{"prices": prices}]
    found = [band(entry["prices"], entry.get("constraint")) for entry in prices]
    for entry in model.get("price_variants") or []:
        if tier := variant(entry["when"]):
            found.append(band(entry["prices"], entry.get("constraint"), tier))
    return [entry for entry in found if entry]


def line(model):
    prices = bands(model)
    if not any("tier" not in entry for entry in prices):
        return None
    # Names are compared in lower case.
    names = list(dict.fromkeys(pattern.lower() for pattern in patterns(model["match"])))
    record = {"model": model["id"], "match": names, "prices": prices}
    return json.dumps(record, ensure_ascii=True, separators=(",", ":"))


def write(provider, source):
    lines = [text for model in provider["models"] if (text := line(model))]
    if not lines:
        return 0
    head = {"source": source}
    if fallback := provider.get("fallback_model_providers"):
        head["fallback"] = fallback
    text = "\n".join([json.dumps(head, separators=(",", ":")), *lines, ""])
    (SHEET / f"{provider['id']}.jsonl").write_text(text)
    return len(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", help="the package's file")
    parser.add_argument("--date", required=True, help="when it was downloaded, 2026-11-22")
    options = parser.parse_args()
    wheel = zipfile.ZipFile(options.wheel)
    info = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    version = re.search(r"^Version: (.+)$", wheel.read(info).decode(), re.MULTILINE)[1]
    source = f"genai-prices {version} (MIT), taken {options.date}"
    for stale in SHEET.glob("*.jsonl"):
        if stale.name != "local.jsonl":
            stale.unlink()
    licence = wheel.read(info.replace("METADATA", "licenses/LICENSE"))
    (SHEET / "LICENSE-genai-prices").write_bytes(licence)
    kept = [entry for entry in providers(wheel) if not LEFT_OUT.fullmatch(entry["id"])]
    counts = {entry["id"]: write(entry, source) for entry in kept}
    print(f"{sum(counts.values())} models of {sum(map(bool, counts.values()))} providers")
    for name in (name for name, count in counts.items() if not count):
        print(f"{name}: no price by the token", file=sys.stderr)


if __name__ == "__main__":
    main()
