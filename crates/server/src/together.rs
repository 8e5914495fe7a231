//! This node among others over one store: its heart, and what it must hear.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use freehold_control::{Error, REFRESH, Settings, Spenders};
use freehold_store::Store;
use freehold_store::membership::Membership;
use freehold_types::{Db, DbError, Env};

use crate::app::App;
use crate::config::SessionOptions;

/// Longer than any exchange lasts: for those of nodes whose version does not
/// say who they are.
const SETTLE_NAMELESS_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is looked for what dead nodes left.
const SETTLE: Duration = Duration::from_secs(5);
/// Of the time, one part in so many is spent on reading anew.
const SPARE: u32 = 4;
/// Rounds until a node that starts has its shares of the budgets: in the
/// first the others hear of it.
const FIRST_ROUNDS: usize = 3;

/// Joins the nodes that use the same store, if others may.
pub(crate) async fn join(
    store: &Arc<Store>,
    env: &Arc<dyn Env>,
    options: &SessionOptions,
    url: &str,
) -> Result<Option<Arc<Membership>>, DbError> {
    if !store.is_shared() {
        return Ok(None);
    }
    let (db, env): (Arc<dyn Db>, _) = (Arc::clone(store) as _, Arc::clone(env));
    let (name, address) = (options.node_name().into(), options.address(url).into());
    let members = Membership::join(db, env, options.membership(), name, address).await?;
    Ok(Some(Arc::new(members)))
}

/// The settings of a node among these; alone, it knows at its start that all
/// exchanges are over.
pub(crate) fn settings(members: Option<&Membership>, settings: Settings) -> Settings {
    let Some(members) = members else { return settings };
    let (settle_after, node) = (SETTLE_NAMELESS_AFTER, Some(members.me()));
    Settings { settle_after, shared: true, node, ..settings }
}

/// The settings of one who only looks at what others may be using.
pub(crate) fn beside(store: &Store) -> Settings {
    let settle_after = if store.is_shared() { SETTLE_NAMELESS_AFTER } else { Duration::ZERO };
    Settings { settle_after, ..Settings::default() }
}

/// Begins with all of it, and has a share of the budgets when it returns, if
/// the others let go in time.
pub(crate) async fn begin(app: &Arc<App>) {
    let Some(members) = &app.members else { return };
    drop(tokio::spawn(beat(Arc::clone(app), Arc::clone(members))));
    for round in 0..FIRST_ROUNDS {
        if round > 0 && members.alive().len() > 1 && !app.control.is_without_budgets() {
            app.env.sleep(REFRESH).await;
        }
        if let Err(error) = share(app, members).await {
            tracing::warn!(%error, "no share of the budgets yet");
        }
    }
    drop(tokio::spawn(follow(Arc::clone(app), Arc::clone(members))));
    drop(tokio::spawn(settle(Arc::clone(app), Arc::clone(members))));
}

/// Leaves the others, with all written that was taken.
pub(crate) async fn end(app: &Arc<App>) {
    let Some(members) = &app.members else { return };
    let left = async {
        app.control.leave_budgets(members.me()).await?;
        members.leave().await?;
        Ok::<_, Error>(())
    };
    if let Err(error) = left.await {
        tracing::warn!(%error, "the other nodes will take a while to see that this one is gone");
    }
}

async fn beat(app: Arc<App>, members: Arc<Membership>) {
    loop {
        app.env.sleep(members.beat_every()).await;
        match members.beat().await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("the other nodes took this one for dead; it begins anew");
                app.control.set_node(members.me());
            }
            Err(error) => tracing::debug!(%error, "no beat"),
        }
    }
}

async fn follow(app: Arc<App>, members: Arc<Membership>) {
    loop {
        let began = app.env.monotonic();
        let heard = async {
            app.control.refresh().await?;
            share(&app, &members).await
        };
        if let Err(error) = heard.await {
            tracing::debug!(%error, "what other nodes changed is not known");
        }
        let took = app.env.monotonic().saturating_sub(began);
        app.env.sleep(REFRESH.max(took * SPARE)).await;
    }
}

async fn share(app: &App, members: &Membership) -> Result<(), Error> {
    let (alive, all): (_, BTreeSet<_>) = (members.alive(), members.all());
    let spenders = Spenders { me: members.me(), alive: &alive, all: &all };
    app.control.share_budgets(spenders).await
}

async fn settle(app: Arc<App>, members: Arc<Membership>) {
    loop {
        app.env.sleep(SETTLE).await;
        match app.control.settle_the_dead(&members).await {
            Ok(settled) => {
                for exchange in settled {
                    tracing::warn!(exchange = %exchange.id, "its node is dead; settled as reserved");
                }
            }
            Err(error) => tracing::debug!(%error, "what dead nodes left is not settled now"),
        }
    }
}
