//! The sheet and the overlay against tables of what requests cost.
//!
//! `testdata/sheet.tsv` has costs that the sheet's source computed with its
//! own arithmetic, so that a mistake in conversion or matching shows;
//! `testdata/overlay.tsv` has them under `testdata/overlay.toml`.

use proptest::prelude::*;

use super::*;
use crate::usage::Tokens;

const SHEET: &str = include_str!("testdata/sheet.tsv");
const OVERLAID: &str = include_str!("testdata/overlay.tsv");
const OVERLAY: &str = include_str!("testdata/overlay.toml");

/// A line of a table: provider, model, time, tier, input, cache read, cache
/// written, of that for long, output, dollars. `-` is no tier and no price.
struct Case<'a> {
    line: &'a str,
    provider: &'a str,
    model: &'a str,
    at: Timestamp,
    tier: Option<&'a str>,
    tokens: Tokens,
    cost: Option<Money>,
}

fn cases(table: &str) -> Vec<Case<'_>> {
    table.lines().filter(|line| !line.starts_with('#')).map(case).collect()
}

fn case(line: &str) -> Case<'_> {
    let words: Vec<&str> = line.split('\t').collect();
    let [provider, model, at, tier, counts @ .., cost] = &words[..] else {
        panic!("{line}");
    };
    let counts: Vec<u64> = counts.iter().map(|count| count.parse().unwrap()).collect();
    let [input, cache_read, cache_write, cache_write_long, output] = counts[..] else {
        panic!("{line}");
    };
    let some = |word| Some(word).filter(|&word| word != "-");
    Case {
        line,
        provider,
        model,
        at: at.parse().unwrap(),
        tier: some(*tier),
        tokens: Tokens { input, cache_read, cache_write, cache_write_long, output, reasoning: 0 },
        cost: some(*cost).map(|cost| cost.parse().unwrap()),
    }
}

fn check(sheet: &Sheet, table: &str) -> usize {
    let cases = cases(table);
    for case in &cases {
        let context = case.tokens.input;
        let rates = sheet.rate_for(case.provider, case.model, case.at, case.tier, context);
        let cost = rates.map(|rates| rates.cost(&case.tokens).0);
        assert_eq!(cost, case.cost, "{}", case.line);
    }
    cases.len()
}

#[test]
fn the_sheet_costs_what_its_source_says() {
    assert!(check(&Sheet::embedded(), SHEET) > 300);
}

#[test]
fn an_overlay_goes_over_the_sheet() {
    assert!(check(&Sheet::with_overlay(OVERLAY).unwrap(), OVERLAID) > 10);
}

#[test]
fn a_wrong_overlay_says_where() {
    for (toml, word) in [
        ("[[model]]\nprovider = \"x\"", "match"),
        ("[[models]]", "models"),
        ("[[model]]\nprovider='x'\nmatch=['m']\nprices=[{input=1.5}]", "line 4"),
        ("[[model]]\nprovider='x'\nmatch=['m']\nprices=[{input='cheap'}]", "line 4"),
        ("[[model]]\nprovider='x'\nmatch=['m']\nprices=[{hours='1-2'}]", "hours"),
        ("[[model]]\nprovider='x'\nmatch=['m']\nprices=[]", "no prices"),
    ] {
        let error = Sheet::with_overlay(toml).unwrap_err();
        let text = format!("{error} {}", error.detail());
        assert!(text.contains(word), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_within_the_bounds_costs_more_than_the_upper_bound(
        which in any::<prop::sample::Index>(),
        input in 0_u64..2_000_000,
        spare in 0_u64..1_000_000,
        parts in prop::array::uniform3(0_u64..2_000_000),
        output in 0_u64..1_000_000,
    ) {
        let lines: Vec<&str> = SHEET.lines().skip(1).collect();
        let Case { provider, model, at, tier, .. } = case(which.get::<&str>(&lines));
        let Some(prices) = Sheet::embedded().model(provider, model) else { return Ok(()) };
        let [cache_read, cache_write, cache_write_long] = parts;
        let tokens = Tokens {
            input, cache_read, cache_write, cache_write_long, output, reasoning: output / 2,
        };
        let (cost, _) = prices.rates(at, tier, input).unwrap().cost(&tokens);
        let bound = prices.upper_bound(at, tier, input + spare, output + spare).unwrap();
        prop_assert!(cost <= bound, "{} > {}", cost, bound);
    }
}
