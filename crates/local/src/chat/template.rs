//! Chat templates: the Jinja of the model's own file, as its makers' library
//! renders it.

use freehold_llm::model::ApiError;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, context};
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Serializer, Value as Json};

use crate::error;

/// For models whose file has none: base models, which only go on with text.
const PLAIN: &str = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n\
                     {% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";

/// How many steps a template may take: a template that loops must end.
const FUEL: u64 = 5_000_000;

/// A compiled chat template.
pub(crate) struct Template {
    environment: Environment<'static>,
    takes_tools: bool,
}

/// What a template is given.
pub(crate) struct Context<'a> {
    /// The conversation, in the shape that templates expect.
    pub(crate) messages: &'a [Json],
    /// Tools in that shape; empty for a template that does not take them.
    pub(crate) tools: &'a [Json],
    /// Open the model's turn at the end.
    pub(crate) add_generation_prompt: bool,
    /// The name of the token a text starts with.
    pub(crate) bos: &'a str,
    /// The name of the token a text ends with.
    pub(crate) eos: &'a str,
    /// Seconds since 1970, for templates that tell the date.
    pub(crate) now: i64,
}

impl Template {
    /// Compiles a template; `None` is the plain one.
    pub(crate) fn new(source: Option<&str>) -> Result<Self, String> {
        let source = source.unwrap_or(PLAIN);
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| format!("its chat template: {e}"))?);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", raise);
        environment
            .add_template_owned("chat", source.to_owned())
            .map_err(|e| format!("its chat template: {e}"))?;
        // The one tool format that the engine reads back.
        let takes_tools = source.contains("tools") && source.contains("<tool_call>");
        Ok(Self { environment, takes_tools })
    }

    /// Whether it writes tools itself, in the form that is read back.
    pub(crate) fn takes_tools(&self) -> bool {
        self.takes_tools
    }

    /// Renders a prompt.
    pub(crate) fn render(&self, with: &Context<'_>) -> Result<String, Box<ApiError>> {
        let now = with.now;
        let tools =
            if with.tools.is_empty() { Value::from(()) } else { Value::from(Serde(with.tools)) };
        let values = context! {
            messages => Value::from(Serde(with.messages)),
            tools => tools,
            add_generation_prompt => with.add_generation_prompt,
            bos_token => with.bos,
            eos_token => with.eos,
            enable_thinking => false,
            strftime_now => Value::from_function(move |format: &str| strftime(now, format)),
        };
        let template = self.environment.get_template("chat").map_err(error::internal)?;
        template.render(values).map_err(|e| {
            let mut message = format!("the model's chat template does not take this: {e}");
            if let Some(detail) = e.detail() {
                message = format!("the model's chat template does not take this: {detail}");
            }
            error::invalid("messages", message)
        })
    }
}

fn raise(message: &str) -> Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message.to_owned()))
}

fn strftime(now: i64, format: &str) -> Result<String, minijinja::Error> {
    let wrong = |e: jiff::Error| {
        minijinja::Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {e}"))
    };
    let time = Timestamp::from_second(now).map_err(wrong)?.to_zoned(TimeZone::UTC);
    jiff::fmt::strtime::format(format, &time).map_err(wrong)
}

/// `tojson` as templates know it: Python's separators, nothing escaped for
/// HTML, and `indent` by keyword.
#[expect(clippy::needless_pass_by_value, reason = "the form of a filter")]
fn to_json(value: &Value, options: minijinja::value::Kwargs) -> Result<Value, minijinja::Error> {
    let wrong = |e: serde_json::Error| {
        minijinja::Error::new(ErrorKind::InvalidOperation, format!("tojson: {e}"))
    };
    let indent: Option<usize> = options.get("indent")?;
    // Python's other switches change nothing that matters to a prompt.
    for ignored in ["ensure_ascii", "separators", "sort_keys"] {
        let _: Option<Value> = options.get(ignored)?;
    }
    options.assert_all_used()?;
    let json = serde_json::to_value(value).map_err(wrong)?;
    let text = match indent {
        None => python_json(&json).map_err(wrong)?,
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let mut out = Vec::new();
            let pretty = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            json.serialize(&mut Serializer::with_formatter(&mut out, pretty)).map_err(wrong)?;
            String::from_utf8_lossy(&out).into_owned()
        }
    };
    Ok(Value::from_safe_string(text))
}

/// JSON with Python's separators: `{"a": 1, "b": [2, 3]}`.
pub(crate) fn python_json(json: &Json) -> Result<String, serde_json::Error> {
    let mut out = Vec::new();
    json.serialize(&mut Serializer::with_formatter(&mut out, Python))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(source: &str, messages: &[Json], tools: &[Json]) -> Result<String, Box<ApiError>> {
        Template::new(Some(source)).unwrap().render(&Context {
            messages,
            tools,
            add_generation_prompt: true,
            bos: "<s>",
            eos: "</s>",
            now: 1_700_000_000,
        })
    }

    #[test]
    fn blocks_take_no_room() {
        let source = "{%- for m in messages %}\n    {% if true %}\n{{ m.role }}|{{ m['content'].strip() }}\n    {% endif %}\n{% endfor %}\n{{ bos_token }}";
        let out = render(source, &[json!({"role": "user", "content": " hi "})], &[]);
        assert_eq!(out.unwrap(), "user|hi\n<s>");
    }

    #[test]
    fn the_usual_functions_are_there() {
        let out = render("{{ strftime_now('%d %b %Y') }}", &[], &[]);
        assert_eq!(out.unwrap(), "14 Nov 2023");
        let error = render("{{ raise_exception('no system role') }}", &[], &[]).unwrap_err();
        assert!(error.message.ends_with("no system role"), "{}", error.message);
        assert_eq!(error.kind, freehold_types::ErrorKind::Invalid);
    }

    #[test]
    fn tools_are_json_as_python_writes_it() {
        let tool = json!({"z": "<a & 'b'>", "a": [1, {"c": null}]});
        let out = render("{{ tools[0] | tojson }}", &[], std::slice::from_ref(&tool));
        assert_eq!(out.unwrap(), r#"{"z": "<a & 'b'>", "a": [1, {"c": null}]}"#);
        let out = render("{{ tools[0] | tojson(indent=2) }}", &[], &[tool]);
        assert!(out.unwrap().starts_with("{\n  \"z\""));
        assert_eq!(render("{% if tools %}a{% else %}b{% endif %}", &[], &[]).unwrap(), "b");
    }

    #[test]
    fn a_template_that_does_not_end_is_stopped() {
        let source =
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        assert!(render(source, &[], &[]).is_err());
    }
}
