//! The Prometheus page.
//!
//! Labels come from the configuration and from closed sets; nothing that a
//! client sends becomes one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use freehold_gateway::metrics::{BOUNDS_US, FAULTS, Histogram, Outcome, RouteMetrics};
use freehold_gateway::plan::{Deployment, Plan, Route};

use crate::app::App;
use crate::metrics_text::{Kind, MetricsText};

pub(super) fn page(app: &App) -> String {
    let mut page = MetricsText::default();
    let plan = app.gateway.plan();
    routes(&mut page, &plan);
    deployments(&mut page, &plan);
    admission(&mut page, app);
    books(&mut page, app);
    process(&mut page, app);
    page.finish()
}

fn routes(page: &mut MetricsText, plan: &Plan) {
    let routes: Vec<&Arc<Route>> = plan.routes().collect();
    let mut exchanges = page.begin(
        "freehold_exchanges_total",
        Kind::Counter,
        "Exchanges that ended, by route and how they ended.",
    );
    for route in &routes {
        for outcome in Outcome::ALL {
            let labels = [("route", &*route.name), ("outcome", outcome.word())];
            exchanges.count(&labels, route.cell.metrics.count(outcome));
        }
    }
    let mut in_flight =
        page.begin("freehold_exchanges_in_flight", Kind::Gauge, "Exchanges under way.");
    for route in &routes {
        let now = route.cell.metrics.in_flight.load(Ordering::Relaxed);
        in_flight.count(&[("route", &*route.name)], u64::try_from(now).unwrap_or(0));
    }
    for (name, help, read) in ROUTE_TIMES {
        let mut times = page.begin(name, Kind::Histogram, help);
        for route in &routes {
            let (counts, sum) = read(&route.cell.metrics).read();
            times.histogram(&[("route", &*route.name)], &BOUNDS_US, &counts, sum);
        }
    }
    for (name, help, read) in ROUTE_COUNTS {
        let mut counts = page.begin(name, Kind::Counter, help);
        for route in &routes {
            let count = read(&route.cell.metrics).load(Ordering::Relaxed);
            counts.count(&[("route", &*route.name)], count);
        }
    }
}

/// A name, its help, and where the figure is.
type Row<T> = (&'static str, &'static str, fn(&RouteMetrics) -> &T);

const ROUTE_TIMES: [Row<Histogram>; 2] = [
    (
        "freehold_time_to_first_byte_seconds",
        "From a request to the first byte of its answer.",
        |metrics| &metrics.first_byte,
    ),
    (
        "freehold_exchange_duration_seconds",
        "From a request to the last byte of its answer.",
        |metrics| &metrics.total,
    ),
];

const ROUTE_COUNTS: [Row<AtomicU64>; 6] = [
    ("freehold_input_tokens_total", "Input tokens, cached ones included.", |m| &m.input_tokens),
    ("freehold_cached_tokens_total", "Input tokens read from a prompt cache.", |m| {
        &m.cached_tokens
    }),
    ("freehold_output_tokens_total", "Output tokens.", |m| &m.output_tokens),
    (
        "freehold_cost_micros_total",
        "Cost in millionths of a US dollar; the books are exact.",
        |m| &m.cost_micros,
    ),
    ("freehold_estimated_total", "Exchanges whose usage was estimated.", |m| &m.estimated),
    ("freehold_hedges_total", "Second attempts because a first one was slow.", |m| &m.hedges),
];

fn deployments(page: &mut MetricsText, plan: &Plan) {
    // A deployment can stand in several routes; each has cells of its own.
    let all: Vec<(&Arc<Route>, &Arc<Deployment>)> = plan
        .routes()
        .flat_map(|route| route.deployments.iter().map(move |deployment| (route, deployment)))
        .collect();
    let labels = |route: &Arc<Route>, deployment: &Arc<Deployment>| {
        [
            ("route", route.name.to_string()),
            ("provider", deployment.provider.name.to_string()),
            ("model", deployment.model.to_string()),
        ]
    };
    let mut attempts =
        page.begin("freehold_attempts_total", Kind::Counter, "Calls to a deployment, by route.");
    for (route, deployment) in &all {
        let labels = labels(route, deployment);
        let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
        attempts.count(&labels, deployment.cell.metrics.attempts.load(Ordering::Relaxed));
    }
    let mut failures = page.begin(
        "freehold_attempt_failures_total",
        Kind::Counter,
        "Calls to a deployment that failed, by whose fault it was.",
    );
    for (route, deployment) in &all {
        let labels = labels(route, deployment);
        for fault in FAULTS {
            let count = deployment.cell.metrics.count(fault);
            // Faults that never were are left out: there are nine for each.
            if count > 0 {
                let [a, b, c] = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
                failures.count(&[a, b, c, ("fault", fault.word())], count);
            }
        }
    }
    let mut heads = page.begin(
        "freehold_attempt_head_seconds",
        Kind::Histogram,
        "From a call to a deployment to the head of its answer.",
    );
    for (route, deployment) in &all {
        let labels = labels(route, deployment);
        let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
        let (counts, sum) = deployment.cell.metrics.head.read();
        heads.histogram(&labels, &BOUNDS_US, &counts, sum);
    }
}

fn admission(page: &mut MetricsText, app: &App) {
    let counts = app.control.admission().counts();
    page.begin("freehold_admitted_total", Kind::Counter, "Exchanges that were let in.")
        .count(&[], counts.admitted);
    let mut refused =
        page.begin("freehold_refused_total", Kind::Counter, "Exchanges that were not, by reason.");
    for (code, count) in &counts.refused {
        refused.count(&[("code", code.word())], *count);
    }
    page.begin(
        "freehold_overspent_total",
        Kind::Counter,
        "Exchanges that cost more than they had reserved.",
    )
    .count(&[], counts.overspent);
    page.begin("freehold_in_flight", Kind::Gauge, "Exchanges that hold a reservation.")
        .count(&[], u64::from(app.control.admission().in_flight()));
}

fn books(page: &mut MetricsText, app: &App) {
    let usage = app.control.usage_counts();
    let gauges = [
        ("freehold_usage_waiting", "Usage records that wait for the store.", usage.queued as u64),
        ("freehold_store_up", "Whether the store takes usage.", u64::from(usage.down.is_none())),
    ];
    for (name, help, value) in gauges {
        page.begin(name, Kind::Gauge, help).count(&[], value);
    }
    let counters = [
        ("freehold_usage_written_total", "Usage rows written.", usage.written),
        ("freehold_usage_unrecorded_total", "Exchanges served without a record.", usage.unrecorded),
        ("freehold_usage_rejected_total", "Usage records the store refused.", usage.rejected),
        ("freehold_usage_retries_total", "Writes that were sent again.", usage.retries),
        ("freehold_store_commits_total", "Commits of the store.", app.store.stats().commits),
    ];
    for (name, help, value) in counters {
        page.begin(name, Kind::Counter, help).count(&[], value);
    }
    let age = app.control.snapshot_age().as_secs_f64();
    page.begin("freehold_keys_age_seconds", Kind::Gauge, "Since keys were last in step.")
        .value(&[], age);
}

fn process(page: &mut MetricsText, app: &App) {
    let mut responses =
        page.begin("freehold_http_responses_total", Kind::Counter, "Answers, by their status.");
    for (status, count) in app.responses.read() {
        responses.count(&[("status", &status.to_string())], count);
    }
    let config = app.watcher.state();
    page.begin("freehold_build_info", Kind::Gauge, "The version that runs.")
        .count(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let up = app.env.monotonic().saturating_sub(app.started).as_secs_f64();
    page.begin("freehold_uptime_seconds", Kind::Gauge, "Since the start.").value(&[], up);
    let gauges = [
        ("freehold_connections", "Open connections.", app.drain.open() as u64),
        ("freehold_body_bytes", "Request bodies in memory.", app.bodies.held() as u64),
        ("freehold_draining", "Whether it is stopping.", u64::from(app.drain.has_begun())),
        (
            "freehold_config_ok",
            "Whether the last configuration that was read is in force.",
            u64::from(config.error.is_none()),
        ),
    ];
    for (name, help, value) in gauges {
        page.begin(name, Kind::Gauge, help).count(&[], value);
    }
    lags(page, app);
    let (good, bad) = config.counts;
    page.begin("freehold_config_reloads_total", Kind::Counter, "Readings of the configuration.")
        .count(&[("result", "ok")], good)
        .count(&[("result", "error")], bad);
    if let Some(logs) = &app.telemetry.logs {
        page.begin(
            "freehold_log_lines_dropped_total",
            Kind::Counter,
            "Log lines for want of room.",
        )
        .count(&[], logs.dropped());
    }
    if let Some(bytes) = resident_bytes() {
        page.begin("process_resident_memory_bytes", Kind::Gauge, "Memory in use.")
            .count(&[], bytes);
    }
}

fn lags(page: &mut MetricsText, app: &App) {
    let mut lags = page.begin(
        "freehold_worker_lag_seconds",
        Kind::Gauge,
        "How long a task of the worker waited for its turn when that was last measured.",
    );
    for (worker, lag) in app.lags.iter().enumerate() {
        lags.value(&[("worker", &worker.to_string())], lag.last().as_secs_f64());
    }
    let refused = app.lags.iter().map(|lag| lag.refused()).sum();
    page.begin(
        "freehold_overload_refused_total",
        Kind::Counter,
        "Requests that were refused because a worker was too far behind.",
    )
    .count(&[], refused);
}

/// The second number of `statm` is the resident pages, which Linux counts in
/// 4 KiB on the machines we know.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(4096)
}
