//! What the tables accept, imply and refuse.

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    providers: BTreeMap<String, ProviderOptions>,
    #[serde(default)]
    routes: BTreeMap<String, RouteOptions>,
    #[serde(default)]
    gateway: GatewayOptions,
}

const KINDS: [Kind<'static>; 3] = [
    Kind { name: "acme", has_address: true },
    Kind { name: "compatible", has_address: false },
    Kind { name: "local", has_address: true },
];

fn read(text: &str) -> Result<Options, String> {
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    Ok(Options { providers: file.providers, routes: file.routes, gateway: file.gateway })
}

/// The first complaint about `text`.
fn complaint(text: &str) -> String {
    match read(text) {
        Err(message) => message,
        Ok(options) => {
            let problems = options.validate(&KINDS);
            let first = problems.iter().next().map(ToString::to_string);
            first.unwrap_or_default()
        }
    }
}

#[test]
fn a_full_configuration_is_read_and_valid() {
    let options = read(
        r#"
        [providers.acme]
        key = { env = "ACME_KEY" }

        [providers.inhouse]
        kind = "compatible"
        base_url = "http://10.0.0.5:8000/v1"
        key = { file = "/run/secrets/inhouse" }
        auth = { scheme = "header", name = "x-token" }
        headers = { x-team = "search" }
        proxy = { url = "http://proxy:3128", user = "u", password = { env = "PROXY_PASSWORD" } }
        ca_file = "/etc/ca.pem"
        http = "2"
        timeouts = { connect_ms = 1000, idle_ms = 30000 }
        quirks = ["max_tokens_key", "string_content"]
        dialects = ["chat", "messages"]

        [routes.smart]
        strategy = "weighted"
        default_max_tokens = 4096
        affinity = "prompt-cache"
        hedge_after_ms = 1500
        retries = { max = 1 }
        fallback_on = ["timeout", "server_error"]

        [[routes.smart.deployments]]
        provider = "acme"
        model = "big-1"
        weight = 3
        dialect = "chat"
        context = 128000
        price = { input = "2.50", output = "10" }
        capabilities = ["tools", "json_schema"]

        [[routes.smart.deployments]]
        provider = "inhouse"
        model = "big-1"

        [routes."team/*"]
        to = "inhouse/team-*"

        [gateway.fetch]
        allow = ["10.1.0.0/16"]
        "#,
    )
    .unwrap();
    let problems = options.validate(&KINDS);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(options.providers["inhouse"].timeouts.headers_ms, 600_000);
    assert_eq!(options.secret_refs().len(), 3);
    assert!(!options.routes["smart"].falls_back_on(FallbackOn::RateLimit));
    let routes = options.effective_routes();
    assert_eq!(routes["team/*"].deployments[0].model, "team-*");
    assert_eq!(routes["acme/*"].deployments[0].provider, "acme");
}

#[test]
fn nothing_configured_still_routes_to_the_local_engine() {
    let options = Options::default();
    assert!(options.validate(&KINDS).is_empty());
    let names: Vec<String> = options.effective_routes().into_keys().collect();
    assert_eq!(names, ["local", "local/*"]);
}

#[test]
fn implied_routes_can_be_turned_off() {
    let options = read("[gateway]\nroutes_implicit = false").unwrap();
    assert!(options.effective_routes().is_empty());
}

#[test]
fn a_mistake_is_told_with_its_remedy() {
    for (text, told) in [
        ("[providers.acme]\nkey = 'sk-123'", "a secret may not stand in the configuration"),
        ("[providers.acme]\nkey = { env = 'A', file = 'B' }", "kept in one place"),
        ("[providers.acme]\nkey = { envv = 'A' }", "unknown field `envv`"),
        (
            "[providers.acmee]",
            "providers.acmee: no provider kind is named `acmee`: did you mean `acme`?",
        ),
        ("[providers.x]\nkind = 'compatible'", "set `base_url`"),
        (
            "[providers.x]\nkind = 'acme'\nbase_url = 'https://u:p@h/v1'",
            "providers.x.base_url: a user and password may not",
        ),
        ("[providers.acme]\nbase_url = 'ftp://h'", "must begin with http:// or https://"),
        ("[providers.acme]\nheaders = { Authorization = 'x' }", "a credential belongs into `key`"),
        (
            "[providers.acme]\ntimeouts = { idle_ms = 0 }",
            "providers.acme.timeouts.idle_ms: 0 is not between",
        ),
        ("[providers.acme]\ndialects = ['chatt']", "`chatt` is no dialect"),
        ("[providers.acme]\nengine = { queue_max = 2 }", "only a provider of the kind `local`"),
        ("[providers.'A B']\nkind = 'acme'", "a provider's name has"),
        ("[routes.a]", "routes.a: it leads nowhere"),
        (
            "[routes.a]\nto = 'acmee/m'",
            "routes.a.to: no provider is named `acmee`: did you mean `acme`?",
        ),
        ("[routes.a]\nto = 'm'", "not of the form PROVIDER/MODEL"),
        ("[routes.a]\nto = 'acme/*'", "the route's name has none to fill it"),
        ("[routes.'*/*']\nto = 'acme/m'", "may hold one `*`"),
        (
            "[[routes.a.deployments]]\nprovider = 'acme'\nmodel = 'm'\nprice = { input = '-1', output = '1' }",
            "`-1` is no price",
        ),
        (
            "[[routes.a.deployments]]\nprovider = 'acme'\nmodel = ''",
            "routes.a.deployments.0: the model's name is empty",
        ),
        ("[gateway.breaker]\nfailures = 0", "gateway.breaker.failures: must be at least 1"),
        ("[gateway.fetch]\nallow = ['http://x']", "is no network such as"),
    ] {
        let acme = if text.starts_with("[providers") { "" } else { "[providers.acme]\n" };
        let text = format!("{acme}{text}");
        let complaint = complaint(&text);
        assert!(complaint.contains(told), "{text}\n  told: {complaint}");
        assert!(!complaint.contains("sk-123") && !complaint.contains("u:p"), "leaks: {complaint}");
    }
}
