//! Tokens of an authorization server for an MCP server of the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use freehold_gateway::options::{SecretRef, Secrets};
use freehold_types::Secret;
use serde_json::{Value, json};

use super::mcp::{echo, mcp, tool};
use super::server::{Does, Server};
use super::world::{World, configured, text};
use crate::content::Settings;

/// An authorization server whose n-th token is `t-n`, good for `seconds`; with
/// each it gives the refresh token `r-n`.
async fn issuer(seconds: u64) -> Server {
    let given = AtomicUsize::new(0);
    Server::start("127.0.0.1", move |_| {
        let n = given.fetch_add(1, Ordering::SeqCst) + 1;
        let token = json!({
            "access_token": format!("t-{n}"), "token_type": "Bearer", "expires_in": seconds,
            "refresh_token": format!("r-{n}"),
        });
        Does::Answers(200, "application/json", token.to_string())
    })
    .await
}

fn owned(server: &Server, issuer: &Server, more: &Value) -> (World, Arc<Settings>) {
    let mut auth = json!({
        "scheme": "oauth", "token_url": format!("{}/token", issuer.url()), "client": "us",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        auth[name] = value.clone();
    }
    let options =
        json!({ "kind": "mcp", "url": format!("{}/mcp?x=1", server.url()), "auth": auth });
    let secret = |name: &str, value: &str| (SecretRef::Env(name.to_owned()), Secret::new(value));
    let secrets = BTreeMap::from([secret("SECRET", "hush"), secret("REFRESH", "r-0")]);
    (World::with_secrets(&[("box", options)], Secrets::new(secrets)), configured(&["box"]))
}

fn bodies(server: &Server) -> Vec<String> {
    let asked = server.asked.lock().expect("no panic before");
    asked.iter().map(|asked| asked.body.clone()).collect()
}

#[tokio::test]
async fn a_client_asks_in_its_own_name_once_for_all_sessions() {
    let issuer = issuer(3_600).await;
    let server = mcp("127.0.0.1", json!([tool("echo")]), echo).await;
    let auth = json!({ "key": { "env": "SECRET" }, "scopes": ["read", "write"] });
    let (mut world, settings) = owned(&server, &issuer, &auth);
    for session in 0..2 {
        world.session = freehold_types::SessionId::new(&*world.env);
        assert!(text(&world.call(&settings, "mcp__box__echo", json!({})).await).0, "{session}");
    }
    assert!(world.set(&settings).await.rules.len() > 1);
    let asked = issuer.asked.lock().expect("no panic before").clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), Some("Basic dXM6aHVzaA=="));
    let resource = server.url().replace(':', "%3A").replace('/', "%2F");
    for field in ["grant_type=client_credentials", "scope=read%20write", &resource] {
        assert!(asked[0].body.replace('+', "%20").contains(field), "{field}: {}", asked[0].body);
    }
    let asked = server.asked.lock().expect("no panic before").clone();
    assert!(asked.iter().all(|asked| asked.header("authorization") == Some("Bearer t-1")));
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_and_the_call_made_once() {
    let issuer = issuer(3_600).await;
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let server = mcp("127.0.0.1", json!([tool("echo")]), move |asked, message| {
        if asked.header("authorization") == Some("Bearer t-1") {
            return Does::Answers(401, "text/plain", "who?".into());
        }
        counted.fetch_add(1, Ordering::SeqCst);
        echo(asked, message)
    })
    .await;
    let auth = json!({ "refresh": { "env": "REFRESH" } });
    let (world, settings) = owned(&server, &issuer, &auth);
    let calls = (0..4).map(|_| world.call(&settings, "mcp__box__echo", json!({})));
    for ended in futures_util::future::join_all(calls).await {
        assert!(text(&ended).0, "{ended:?}");
    }
    assert_eq!(done.load(Ordering::SeqCst), 4);
    let bodies = bodies(&issuer);
    assert_eq!(bodies.len(), 2, "those who were refused together ask once");
    for (body, refresh) in bodies.iter().zip(["refresh_token=r-0", "refresh_token=r-1"]) {
        assert!(body.contains("grant_type=refresh_token") && body.contains(refresh), "{body}");
        assert!(body.contains("client_id=us"), "{body}");
    }
}

#[tokio::test]
async fn a_token_is_gotten_anew_before_it_is_old() {
    let issuer = issuer(0).await;
    let server = mcp("127.0.0.1", json!([tool("echo")]), echo).await;
    let (world, settings) = owned(&server, &issuer, &json!({ "key": { "env": "SECRET" } }));
    for _ in 0..2 {
        assert!(text(&world.call(&settings, "mcp__box__echo", json!({})).await).0);
    }
    assert!(issuer.count() >= 2, "{}", issuer.count());
}

#[tokio::test]
async fn without_a_token_the_server_is_not_asked_and_no_secret_is_told() {
    let refuses = json!({ "error": "invalid_client" }).to_string();
    let issuer = Server::start("127.0.0.1", move |_| {
        Does::Answers(401, "application/json", refuses.clone())
    })
    .await;
    let server = mcp("127.0.0.1", json!([tool("echo")]), echo).await;
    let (world, settings) = owned(&server, &issuer, &json!({ "key": { "env": "SECRET" } }));
    let set = world.set(&settings).await;
    let error = set.listed[0].error.as_deref().expect("it cannot be listed");
    assert!(error.contains("invalid_client") && !error.contains("hush"), "{error}");
    assert_eq!(server.count(), 0);
}
