//! JSON values compared, and looked into without ceremony.

use serde_json::Value;

/// One place where two values differ.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// Where, as `a.b[2].c`.
    pub(crate) path: String,
    /// What should be there, and what is; cut to a readable length.
    pub(crate) detail: String,
}

/// The places where `got` differs from `wanted`. The order of an object's
/// fields does not count, nor how a number is written, and a field that is
/// null is as good as absent.
pub(crate) fn differences(wanted: &Value, got: &Value) -> Vec<Difference> {
    let mut out = Vec::new();
    compare("", wanted, got, &mut out);
    out
}

fn compare(path: &str, wanted: &Value, got: &Value, out: &mut Vec<Difference>) {
    match (wanted, got) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(&inner, value, b.get(name).unwrap_or(&Value::Null), out);
            }
            for (name, value) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(&inner, &Value::Null, value, out);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (x, y)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{n}]"), x, y, out);
            }
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        (a, b) if a == b => {}
        (a, b) => out.push(Difference {
            path: path.to_owned(),
            detail: format!("{} became {}", short(a), short(b)),
        }),
    }
}

/// A value as text of a readable length.
pub(crate) fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(160) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// A field's text; empty if it is absent or no string.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A field's elements; none if it is absent or no list.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A field `index`: 0 where there is none, and never out of hand.
pub(crate) fn index(value: &Value) -> usize {
    let at = value.get("index").and_then(Value::as_u64).unwrap_or(0);
    usize::try_from(at).unwrap_or(usize::MAX).min(1 << 10)
}

/// A field that is neither absent nor null.
pub(crate) fn some<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|v| !v.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_nulls_and_number_forms_do_not_count() {
        let a = json!({"a": 1, "b": null, "c": [{"d": 1.0}]});
        let b = json!({"c": [{"d": 1}], "a": 1.0, "e": null});
        assert_eq!(differences(&a, &b), []);
    }

    #[test]
    fn a_difference_names_its_place() {
        let got =
            differences(&json!({"c": [{"d": 1}], "x": [1]}), &json!({"c": [{"d": "1"}], "x": []}));
        let paths: Vec<_> = got.iter().map(|d| d.path.as_str()).collect();
        assert_eq!(paths, ["c[0].d", "x"]);
        assert_eq!(got[0].detail, "1 became \"1\"");
    }
}
