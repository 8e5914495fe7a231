//! Inputs made from inputs: by their JSON where they have any, else by bytes.

use serde_json::{Map, Value, json};

use super::random::Random;

/// The most bytes of a made input.
const SIZE_LIMIT: usize = 256 << 10;

/// Pieces that parsers have stumbled over.
const PIECES: [&[u8]; 20] = [
    b"\n\n",
    b"\r\n\r\n",
    b"\r",
    b"data:",
    b"data: [DONE]\n\n",
    b"event: error\n",
    b":",
    b"\xEF\xBB\xBF",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\\u0000",
    b"null",
    b"1e999",
    b"-0",
    b"18446744073709551616",
    b"[[[[[[[[",
    b"{\"",
    b"\"}",
];

/// A new input out of one that is known, sometimes crossed with `other`.
pub(super) fn mutate(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = match random.below(4) {
        0 => bytes(input.to_vec(), other, random),
        1 => lines(input, other, random),
        _ => documents(input, other, random),
    };
    out.truncate(SIZE_LIMIT);
    out
}

/// One to four changes of bytes.
fn bytes(mut out: Vec<u8>, other: &[u8], random: &mut Random) -> Vec<u8> {
    for _ in 0..=random.below(4) {
        let at = random.below(out.len() + 1);
        let to = (at + random.below(32)).min(out.len());
        match random.below(6) {
            0 => {
                if let Some(byte) = out.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => drop(out.drain(at..to)),
            2 => {
                let copy = out.get(at..to).unwrap_or_default().to_vec();
                out.splice(at..at, copy);
            }
            3 => {
                let piece = random.pick(&PIECES).copied().unwrap_or_default();
                out.splice(at..at, piece.iter().copied());
            }
            4 => {
                let from = random.below(other.len());
                let piece = other.get(from..).unwrap_or_default();
                out.splice(at..to, piece.iter().copied().take(64));
            }
            _ => out.truncate(at),
        }
    }
    out
}

/// Lines left out, doubled, exchanged, or taken from the other input.
fn lines(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut all: Vec<&[u8]> = input.split_inclusive(|b| *b == b'\n').collect();
    let others: Vec<&[u8]> = other.split_inclusive(|b| *b == b'\n').collect();
    for _ in 0..=random.below(3) {
        let (at, to) = (random.below(all.len()), random.below(all.len()));
        match random.below(4) {
            _ if all.is_empty() => {}
            0 => drop(all.remove(at)),
            1 => all.insert(to, all.get(at).copied().unwrap_or_default()),
            2 => all.swap(at, to),
            _ => all.insert(at, random.pick(&others).copied().unwrap_or_default()),
        }
    }
    all.concat()
}

/// Changes inside the JSON of the input: of the whole, or of the data of
/// one event.
fn documents(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    if let Ok(value) = serde_json::from_slice::<Value>(input) {
        return changed(value, other, random);
    }
    let mut all: Vec<Vec<u8>> =
        input.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..=random.below(2) {
        let at = random.below(all.len());
        let Some(line) = all.get_mut(at) else { continue };
        let json = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii);
        if let Some(Ok(value)) = json.map(serde_json::from_slice::<Value>) {
            *line = [&b"data: "[..], &changed(value, other, random), b"\n"].concat();
        }
    }
    all.concat()
}

fn changed(mut value: Value, other: &[u8], random: &mut Random) -> Vec<u8> {
    for _ in 0..=random.below(3) {
        let graft = graft(other, random);
        let mut left = random.below(count(&value));
        change(&mut value, &mut left, graft, random);
    }
    serde_json::to_vec(&value).unwrap_or_default()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the node that `left` counts down to. True once it is done.
fn change(value: &mut Value, left: &mut usize, graft: Value, random: &mut Random) -> bool {
    if *left == 0 {
        one(value, graft, random);
        return true;
    }
    *left -= 1;
    let inside: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => return false,
    };
    inside.into_iter().any(|inner| change(inner, left, graft.clone(), random))
}

fn one(value: &mut Value, graft: Value, random: &mut Random) {
    match (random.below(5), &mut *value) {
        (0, Value::Object(fields)) => {
            let name = fields.keys().nth(random.below(fields.len())).cloned();
            drop(name.and_then(|name| fields.shift_remove(&name)));
        }
        (1, Value::Object(fields)) => drop(fields.insert("x".repeat(random.below(3)), graft)),
        (0, Value::Array(items)) if !items.is_empty() => {
            drop(items.remove(random.below(items.len())));
        }
        (1, Value::Array(items)) => items.push(graft),
        (2, Value::Array(items)) => items.reverse(),
        (0, Value::String(text)) => text.clear(),
        (1, Value::String(text)) => text.push_str("\u{0}\u{fffd}\u{1f600}\"\\{\n"),
        (2, Value::String(text)) => *text = text.repeat(1 + random.below(40)),
        _ => *value = graft,
    }
}

/// A value to put somewhere: a strange one, or a piece of the other input.
fn graft(other: &[u8], random: &mut Random) -> Value {
    let strange = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(0.1),
        json!(""),
        json!("\u{0}"),
        json!([]),
        json!({}),
        json!([[]]),
        json!({"type": "text"}),
        json!({"": null}),
        deep(60),
    ];
    match serde_json::from_slice::<Value>(other) {
        Ok(other) if random.below(2) == 0 => piece(&other, random),
        _ => random.pick(&strange).cloned().unwrap_or_default(),
    }
}

fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, n| {
        if n % 2 == 0 {
            json!([inner])
        } else {
            Value::Object(Map::from_iter([("a".to_owned(), inner)]))
        }
    })
}

fn piece(value: &Value, random: &mut Random) -> Value {
    let mut at = value;
    for _ in 0..random.below(6) {
        let next = match at {
            Value::Array(items) => random.pick(items),
            Value::Object(fields) => fields.values().nth(random.below(fields.len())),
            _ => None,
        };
        match next {
            Some(inner) => at = inner,
            None => break,
        }
    }
    at.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_inputs_again() {
        let run = |seed| {
            let mut random = Random::new(seed);
            let mut input = br#"{"a":[1,{"b":"c"}]}"#.to_vec();
            let mut made = Vec::new();
            for _ in 0..200 {
                input = mutate(&input, b"data: {\"x\":1}\n\n", &mut random);
                made.push(input.clone());
            }
            made
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
