//! Writes the Prometheus text format.

/// A page of metrics.
#[derive(Debug, Default)]
pub struct MetricsText(String);

impl MetricsText {
    /// The media type of the page.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a metric: all its samples follow before the next one begins.
    /// A counter's name ends in `_total`, a duration's in `_seconds`.
    pub fn begin(&mut self, name: &'static str, kind: Kind, help: &str) -> Metric<'_> {
        let text = &mut self.0;
        push(text, format_args!("# HELP {name} {}\n", help.replace('\n', " ")));
        push(text, format_args!("# TYPE {name} {}\n", kind.word()));
        Metric { text, name }
    }

    /// The page.
    pub fn finish(self) -> String {
        self.0
    }
}

/// What a metric does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts durations in buckets.
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The samples of one metric.
pub struct Metric<'a> {
    text: &'a mut String,
    name: &'static str,
}

/// Names and values of labels; the values come from configuration or closed
/// sets, never from a client.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Metric<'_> {
    /// A whole number.
    pub fn count(&mut self, labels: Labels<'_>, value: u64) -> &mut Self {
        self.sample("", labels, None, format_args!("{value}"))
    }

    /// A number that may be a fraction or below zero.
    pub fn value(&mut self, labels: Labels<'_>, value: f64) -> &mut Self {
        self.sample("", labels, None, format_args!("{value}"))
    }

    /// A histogram over `bounds_us` in microseconds, which are shown in
    /// seconds. `counts` are those of each bucket by itself, the last one
    /// without bound.
    pub fn histogram(
        &mut self,
        labels: Labels<'_>,
        bounds_us: &[u64],
        counts: &[u64],
        sum_us: u64,
    ) -> &mut Self {
        let mut total = 0;
        for (at, count) in counts.iter().enumerate() {
            total += count;
            let bound = bounds_us.get(at).map_or_else(|| "+Inf".to_owned(), |us| seconds(*us));
            self.sample("_bucket", labels, Some(&bound), format_args!("{total}"));
        }
        self.sample("_sum", labels, None, format_args!("{}", seconds(sum_us)));
        self.sample("_count", labels, None, format_args!("{total}"))
    }

    fn sample(
        &mut self,
        suffix: &str,
        labels: Labels<'_>,
        bound: Option<&str>,
        value: std::fmt::Arguments<'_>,
    ) -> &mut Self {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let mut between = '{';
        for (name, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            push(self.text, format_args!("{between}{name}=\""));
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
            between = ',';
        }
        if between == ',' {
            self.text.push('}');
        }
        push(self.text, format_args!(" {value}\n"));
        self
    }
}

/// Microseconds as a decimal number of seconds, exactly.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn push(text: &mut String, args: std::fmt::Arguments<'_>) {
    text.push_str(&args.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_the_format_says() {
        let mut page = MetricsText::default();
        page.begin("a_total", Kind::Counter, "Things.\nMore.")
            .count(&[], 1)
            .count(&[("route", "x\"y\\z\n")], 2);
        page.begin("b_seconds", Kind::Histogram, "Time.").histogram(
            &[("route", "r")],
            &[250, 1_000_000],
            &[1, 2, 3],
            2_500_000,
        );
        assert_eq!(
            page.finish(),
            "# HELP a_total Things. More.\n# TYPE a_total counter\na_total 1\n\
             a_total{route=\"x\\\"y\\\\z\\n\"} 2\n\
             # HELP b_seconds Time.\n# TYPE b_seconds histogram\n\
             b_seconds_bucket{route=\"r\",le=\"0.00025\"} 1\n\
             b_seconds_bucket{route=\"r\",le=\"1\"} 3\n\
             b_seconds_bucket{route=\"r\",le=\"+Inf\"} 6\n\
             b_seconds_sum{route=\"r\"} 2.5\nb_seconds_count{route=\"r\"} 6\n"
        );
    }
}
