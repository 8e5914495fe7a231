//! Who may manage what, and what usage is told.

use std::sync::Arc;

use axum::body::Body;
use freehold_control::{Control, Issued, Limits, NewKey, Routes, Settings};
use freehold_store::exchanges::{Closed, Opened, Tokens};
use freehold_store::{Sqlite, SqliteOptions, exchanges};
use freehold_types::{
    Db as _, Env as _, ExchangeId, GroupId, KeyId, KeyName, Money, Rounding, TenantId,
};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower_service::Service as _;

use super::{Admin, Via, manages_all, router};
use crate::env::RealEnv;

struct Node {
    router: axum::Router,
    control: Arc<Control>,
    store: Arc<Sqlite>,
    env: Arc<RealEnv>,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(&SqliteOptions::new(folder.path())).unwrap());
        let env = Arc::new(RealEnv::new());
        let opened = Control::open(store.clone(), env.clone(), Settings::default()).await;
        let started = opened.unwrap();
        tokio::spawn(started.writer.run());
        let control = Arc::new(started.control);
        let router = router(Admin::offline(Arc::clone(&control), env.clone()), Via::Network);
        Self { router, control, store, env, _folder: folder }
    }

    async fn key(&self, tenant: &str, admin: bool) -> Issued {
        let new = NewKey {
            tenant: TenantId::new(tenant).unwrap(),
            group: None,
            name: KeyName::new("a key").unwrap(),
            admin,
            routes: Routes::ALL,
            limits: Limits::default(),
            expires_at: None,
        };
        self.control.create_key(new).await.unwrap()
    }

    async fn ask(
        &self,
        key: &str,
        method: &Method,
        path: &str,
        body: &str,
    ) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/freehold/{path}"))
            .header("authorization", format!("Bearer {key}"))
            .body(Body::from(body.to_owned()))
            .unwrap();
        let answer = self.router.clone().call(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    async fn get(&self, key: &Issued, path: &str) -> (StatusCode, Value) {
        let (status, text) = self.ask(key.secret.reveal(), &Method::GET, path, "").await;
        (status, serde_json::from_str(&text).unwrap())
    }

    /// An exchange that ended just now at a cost of so many dollars.
    async fn exchange(&self, tenant: &str, group: Option<&str>, route: &str, dollars: i64) {
        let now = self.env.now();
        let opened = Opened {
            tenant: TenantId::new(tenant).unwrap(),
            id: ExchangeId::new(&*self.env),
            group: group.map(|name| GroupId::new(name).unwrap()),
            key: KeyId::new(&*self.env),
            route: route.into(),
            dialect: "chat".into(),
            stream: false,
            opened_at: now,
            reserved: Money::ZERO,
        };
        let closed = Closed {
            closed_at: now,
            provider: Some("east".into()),
            deployment: None,
            model: Some("m".into()),
            status: 200,
            error: None,
            attempts: 1,
            tokens: Tokens::default(),
            cost: Money::from_units(dollars),
            rounding: Rounding::default(),
            estimated: false,
            unpriced: false,
            lost: Vec::new(),
        };
        self.store.write(exchanges::close([(&opened, &closed)])).await.unwrap();
    }
}

/// Everything that there is, with what it asks for; `ID` is a key's.
const ALL: [(Method, &str, &str); 21] = [
    (Method::POST, "keys", r#"{"name":"x"}"#),
    (Method::GET, "keys", ""),
    (Method::GET, "keys/ID", ""),
    (Method::PATCH, "keys/ID", r#"{"admin":true}"#),
    (Method::DELETE, "keys/ID", ""),
    (Method::GET, "groups", ""),
    (Method::GET, "groups/g", ""),
    (Method::PUT, "groups/g", "{}"),
    (Method::DELETE, "groups/g", ""),
    (Method::POST, "budgets", r#"{"period":"day","amount":"1"}"#),
    (Method::GET, "budgets", ""),
    (Method::GET, "budgets/ID", ""),
    (Method::PATCH, "budgets/ID", r#"{"amount":"1"}"#),
    (Method::DELETE, "budgets/ID", ""),
    (Method::GET, "usage", ""),
    (Method::GET, "exchanges", ""),
    (Method::GET, "routes", ""),
    (Method::GET, "status", ""),
    (Method::POST, "reload", ""),
    (Method::GET, "losses", ""),
    (Method::GET, "nothing", ""),
];

#[tokio::test]
async fn operations_far_away_are_told_to_an_admin_key_of_main_only() {
    let node = Node::new().await;
    for (tenant, admin, told) in
        [("main", true, true), ("main", false, false), ("acme", true, false)]
    {
        let key = node.key(tenant, admin).await;
        let value = format!("Bearer {}", key.secret.reveal()).parse().unwrap();
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
        assert_eq!(manages_all(&node.control, &headers), told, "{tenant} {admin}");
    }
    assert!(!manages_all(&node.control, &HeaderMap::new()));
}

#[tokio::test]
async fn nothing_is_managed_without_an_admin_key() {
    let node = Node::new().await;
    let plain = node.key("main", false).await;
    let elsewhere = node.key("a", true).await;
    let revoked = node.key("main", true).await;
    node.control.revoke_key(&TenantId::main(), revoked.key.id).await.unwrap();
    for (method, path, body) in ALL {
        let path = path.replace("ID", &plain.key.id.to_string());
        for key in ["", "fh_wrong", revoked.secret.reveal()] {
            let (status, text) = node.ask(key, &method, &path, body).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}: {text}");
            assert!(key.is_empty() || !text.contains(key), "{text}");
        }
        // What a dialect loses is no secret; the rest is for admins, and for
        // those of another tenant no more than for others.
        for key in [plain.secret.reveal(), elsewhere.secret.reveal()] {
            let expected = match &*path {
                "losses" => StatusCode::OK,
                "nothing" => StatusCode::NOT_FOUND,
                // Their own tenant's, for those who name none.
                "usage" if key == elsewhere.secret.reveal() => StatusCode::OK,
                _ => StatusCode::FORBIDDEN,
            };
            let (status, text) = node.ask(key, &method, &path, body).await;
            assert_eq!(status, expected, "{method} {path}: {text}");
        }
    }
    let keys = node.ask(elsewhere.secret.reveal(), &Method::GET, "keys?tenant=a", "").await;
    assert_eq!(keys.0, StatusCode::OK, "{}", keys.1);
    assert!(!keys.1.contains(elsewhere.secret.reveal()), "a key is shown once");
    // All that was tried has changed nothing.
    let key = node.control.key(&TenantId::main(), plain.key.id).unwrap();
    assert_eq!(key, plain.key);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let node = Node::new().await;
    let admin = node.key("main", true).await;
    let never = futures_util::stream::pending::<Result<bytes::Bytes, std::convert::Infallible>>();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/freehold/keys")
        .header("x-api-key", admin.secret.reveal())
        .body(Body::from_stream(never))
        .unwrap();
    let answer = node.router.clone().call(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_tenant_is_managed_by_its_own_admin_and_mains_and_no_other() {
    let node = Node::new().await;
    let main = node.key("main", true).await;
    let own = node.key("a", true).await;
    let other = node.key("b", true).await;
    for (method, path, body) in ALL {
        if ["routes", "status", "reload", "losses", "nothing", "usage"].contains(&path) {
            continue;
        }
        let prefix = if path.starts_with("keys") { "key_" } else { "bud_" };
        let id = format!("{prefix}01890000000070008000000000000001");
        let path = format!("{}?tenant=a", path.replace("ID", &id));
        let body = body.replacen('{', r#"{"tenant":"a","#, 1).replace(",}", "}");
        let made = method == Method::POST;
        let (path, body) = if made { (path.replace("?tenant=a", ""), body) } else { (path, body) };
        // A budget of the whole tenant is for those above it.
        let bounds = made && path == "budgets";
        for (key, refused) in [(&main, false), (&own, bounds), (&other, true)] {
            let (status, text) = node.ask(key.secret.reveal(), &method, &path, &body).await;
            assert_eq!(status == StatusCode::FORBIDDEN, refused, "{method} {path}: {text}");
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{method} {path}: {text}");
        }
    }
}

#[tokio::test]
async fn a_tenants_admin_does_not_set_what_bounds_its_tenant() {
    let node = Node::new().await;
    let (main, own) = (node.key("main", true).await, node.key("a", true).await);
    let (status, text) =
        node.ask(own.secret.reveal(), &Method::PUT, "groups/g?tenant=a", "{}").await;
    assert!(status.is_success(), "{text}");
    for (scope, by_own) in [("", false), (r#""group":"g","#, true)] {
        let body = format!(r#"{{"tenant":"a",{scope}"period":"day","amount":"5"}}"#);
        let (status, text) = node.ask(main.secret.reveal(), &Method::POST, "budgets", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{text}");
        let made: Value = serde_json::from_str(&text).unwrap();
        let path = format!("budgets/{}?tenant=a", made["id"].as_str().unwrap());
        for (method, body) in [(Method::PATCH, r#"{"amount":"9"}"#), (Method::DELETE, "")] {
            let (status, text) = node.ask(own.secret.reveal(), &method, &path, body).await;
            assert_eq!(status.is_success(), by_own, "{method} {scope}: {text}");
        }
    }
}

#[tokio::test]
async fn usage_is_narrowed_by_the_query() {
    let node = Node::new().await;
    let main = node.key("main", true).await;
    node.exchange("a", Some("team"), "fast", 1).await;
    node.exchange("a", None, "fast", 2).await;
    node.exchange("a", Some("team"), "smart", 4).await;
    node.exchange("b", Some("team"), "smart", 8).await;
    for (query, cost) in [
        ("", "15"),
        ("?tenant=a", "7"),
        ("?group=team", "13"),
        ("?group=", "2"),
        ("?route=fast&group=team", "1"),
        ("?provider=east&model=m&tenant=b", "8"),
    ] {
        let (status, answer) = node.get(&main, &format!("usage{query}")).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["data"][0]["cost"], cost, "{query}");
    }
    let (_, answer) = node.get(&main, "usage?by=tenant,route&group=team").await;
    let rows: Vec<_> = answer["data"].as_array().unwrap().iter().map(|row| &row["cost"]).collect();
    assert_eq!(rows, ["1", "4", "8"]);
    assert_eq!(node.get(&main, "usage?provider=west").await.1["data"], json!([]));
    let key = node.get(&main, "exchanges?tenant=b").await.1["data"][0]["key"].clone();
    let (_, answer) = node.get(&main, &format!("usage?key={}", key.as_str().unwrap())).await;
    assert_eq!(answer["data"][0]["cost"], "8");
    for query in ["key=key_1", "group=%20", "groups=team", "by=team"] {
        let (status, answer) = node.get(&main, &format!("usage?{query}")).await;
        assert_eq!((status.as_u16(), &answer["code"]), (400, &json!("invalid_request")), "{query}");
    }
}

#[tokio::test]
async fn a_tenants_admin_sees_its_own_usage_only() {
    let node = Node::new().await;
    node.exchange("a", None, "fast", 1).await;
    node.exchange("b", None, "fast", 2).await;
    let own = node.key("a", true).await;
    let (_, answer) = node.get(&own, "usage?by=tenant").await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    assert_eq!(answer["data"][0]["tenant"], "a");
    assert_eq!(node.get(&own, "usage?tenant=b").await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_change_is_in_force_though_nobody_waited_for_it() {
    let node = Node::new().await;
    let main = node.key("main", true).await;
    let doomed = node.key("main", false).await;
    {
        let path = format!("keys/{}", doomed.key.id);
        let mut call = std::pin::pin!(node.ask(main.secret.reveal(), &Method::DELETE, &path, ""));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    for _ in 0..1_000 {
        if node.control.authenticate(doomed.secret.reveal()).is_err() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("it is revoked in the store and good in memory");
}
