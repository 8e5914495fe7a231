//! The first key, without which nobody could make another.

use freehold_store::keys;
use freehold_types::{KeyName, Secret, TenantId};

use crate::identity::{Key, KeyHash, Routes, bearer};
use crate::manage::{Issued, NewKey};
use crate::{Control, Error, Limits};

/// The name of the key that the operator gives.
const GIVEN: &str = "bootstrap";
/// The name of the key that is made if none is given.
const MADE: &str = "admin";
/// The longest bearer key that an operator may give.
const GIVEN_LEN_MAX: usize = 256;

impl Control {
    /// Sees to it that there is a key that may manage everything.
    ///
    /// With `given`, that one is such a key from now on, and one that was
    /// given before is not any more. Without it, a key is made if there is
    /// none; it is returned, this once.
    pub async fn ensure_admin_key(&self, given: Option<Secret>) -> Result<Option<Issued>, Error> {
        let _turn = self.turn.lock().await;
        match given {
            Some(secret) => {
                check_given(&secret)?;
                self.adopt(secret).await?;
                Ok(None)
            }
            None if self.live_admins(|_| true).is_empty() => {
                let secret = bearer::generate(&*self.env);
                Ok(Some(self.issue(admin(MADE)?, secret).await?))
            }
            None => Ok(None),
        }
    }

    async fn adopt(&self, secret: Secret) -> Result<(), Error> {
        let hash = KeyHash::of(secret.reveal());
        let known = self.live_admins(|key| Some(key.hash) == hash);
        let replaced = self.live_admins(|key| key.name.as_str() == GIVEN && Some(key.hash) != hash);
        if known.is_empty() {
            self.issue(admin(GIVEN)?, secret).await?;
        }
        // Only now: if this fails, there are two good keys and not none.
        for key in replaced {
            let now = self.env.now();
            self.commit(keys::revoke(&key.tenant, key.id, now)).await?;
            let revoked = Key { revoked_at: Some(now), ..key };
            let principal = self.registry().put_key(revoked)?;
            self.snapshot.put(principal);
        }
        Ok(())
    }

    fn live_admins(&self, which: impl Fn(&Key) -> bool) -> Vec<Key> {
        let (main, now) = (TenantId::main(), self.env.now());
        let live = |key: &&Key| {
            key.admin
                && key.tenant == main
                && key.revoked_at.is_none()
                && key.expires_at.is_none_or(|at| at > now)
                && which(key)
        };
        self.registry().keys().filter(live).cloned().collect()
    }
}

fn admin(name: &'static str) -> Result<NewKey, Error> {
    let name = KeyName::new(name)
        .map_err(|error| Error::Invalid { what: "the key's name", why: error.to_string() })?;
    Ok(NewKey {
        tenant: TenantId::main(),
        group: None,
        name,
        admin: true,
        routes: Routes::ALL,
        limits: Limits::default(),
        expires_at: None,
    })
}

/// A key that no header could carry would lock everyone out.
fn check_given(secret: &Secret) -> Result<(), Error> {
    let text = secret.reveal();
    let why = if text.is_empty() {
        "it is empty".to_owned()
    } else if text.len() > GIVEN_LEN_MAX {
        format!("it is longer than {GIVEN_LEN_MAX} bytes")
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        "it has characters that no HTTP header can carry: use letters, digits and punctuation"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(Error::Invalid { what: "the bootstrap key", why })
}
