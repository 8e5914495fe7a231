//! Who may manage what.

use std::sync::Arc;

use axum::body::Body;
use freehold_control::{Control, Issued, Limits, NewKey, Routes, Settings};
use freehold_store::{Sqlite, SqliteOptions};
use freehold_types::{KeyName, TenantId};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tower_service::Service as _;

use super::{Admin, Via, router};
use crate::env::RealEnv;

struct Node {
    router: axum::Router,
    control: Arc<Control>,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Arc::new(Sqlite::open(&SqliteOptions::new(folder.path())).unwrap());
        let env = Arc::new(RealEnv::new());
        let started = Control::open(db, env.clone(), Settings::default()).await.unwrap();
        tokio::spawn(started.writer.run());
        let control = Arc::new(started.control);
        let router = router(Admin::offline(Arc::clone(&control), env), Via::Network);
        Self { router, control, _folder: folder }
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
