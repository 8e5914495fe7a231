//! Virtual keys: issue, change, revoke, list.

use freehold_store::{groups, keys};
use freehold_types::{GroupId, KeyId, KeyName, Page, PageRequest, Secret, TenantId, Unit};
use jiff::Timestamp;

use crate::identity::{Group, Key, KeyHash, Routes, bearer, group_to_row, key_to_row};
use crate::{Control, Error, Limits};

/// A key that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Whose. A tenant is there as soon as it has a key.
    pub tenant: TenantId,
    /// The group that it is in; made at the top if it is not there.
    pub group: Option<GroupId>,
    /// What people call it.
    pub name: KeyName,
    /// May manage its tenant; in the tenant `main`, all tenants.
    pub admin: bool,
    /// What it may call.
    pub routes: Routes,
    /// Its own limits.
    pub limits: Limits,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// A new key, with the bearer key, which is nowhere else.
#[derive(Clone, Debug)]
pub struct Issued {
    /// As it is kept.
    pub key: Key,
    /// To be shown once.
    pub secret: Secret,
}

/// What to change of a key; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// Another group, which must be there, or none.
    pub group: Option<Option<GroupId>>,
    /// Another name.
    pub name: Option<KeyName>,
    /// Whether it may manage.
    pub admin: Option<bool>,
    /// Other routes.
    pub routes: Option<Routes>,
    /// Other limits, all of them.
    pub limits: Option<Limits>,
    /// Another end, or none.
    pub expires_at: Option<Option<Timestamp>>,
}

impl Control {
    /// Issues a key. When this returns it is durable and in force.
    pub async fn create_key(&self, new: NewKey) -> Result<Issued, Error> {
        let _turn = self.turn.lock().await;
        self.issue(new, bearer::generate(&*self.env)).await
    }

    /// The caller has the turn, and `secret` can be hashed.
    pub(super) async fn issue(&self, new: NewKey, secret: Secret) -> Result<Issued, Error> {
        let hash = KeyHash::of(secret.reveal()).ok_or_else(|| Error::Invalid {
            what: "the bearer key",
            why: "it is empty or too long".into(),
        })?;
        let key = Key {
            id: KeyId::new(&*self.env),
            tenant: new.tenant,
            group: new.group,
            name: new.name,
            hash,
            shown: bearer::shown(&secret),
            admin: new.admin,
            routes: new.routes,
            limits: new.limits,
            created_at: self.env.now(),
            expires_at: new.expires_at,
            revoked_at: None,
        };
        let new_group = self.missing_group(&key);
        let mut unit = Unit::new("keys.create");
        if let Some(group) = &new_group {
            unit.append(groups::insert(&group_to_row(group, key.created_at)));
        }
        unit.append(keys::insert(&key_to_row(&key)));
        self.commit(unit).await?;

        let principal = {
            let mut registry = self.registry();
            if let Some(group) = new_group {
                registry.put_group(group);
            }
            registry.put_key(key.clone())?
        };
        self.snapshot.put(principal);
        Ok(Issued { key, secret })
    }

    fn missing_group(&self, key: &Key) -> Option<Group> {
        let id = key.group.as_ref()?;
        let missing = self.registry().group(&key.tenant, id).is_none();
        missing.then(|| Group {
            tenant: key.tenant.clone(),
            id: id.clone(),
            parent: None,
            limits: Limits::default(),
        })
    }

    /// Takes a key back. When this returns, it is refused. A key that is
    /// revoked already stays as it is.
    pub async fn revoke_key(&self, tenant: &TenantId, id: KeyId) -> Result<Key, Error> {
        let _turn = self.turn.lock().await;
        let mut key = self.key(tenant, id)?;
        if key.revoked_at.is_none() {
            let now = self.env.now();
            key.revoked_at = Some(now);
            self.commit(keys::revoke(tenant, id, now)).await?;
            self.put(key.clone())?;
        }
        Ok(key)
    }

    /// Changes a key, in force when this returns.
    pub async fn update_key(
        &self,
        tenant: &TenantId,
        id: KeyId,
        change: KeyChange,
    ) -> Result<Key, Error> {
        let _turn = self.turn.lock().await;
        let mut key = self.key(tenant, id)?;
        if let Some(group) = change.group {
            if let Some(group) = &group {
                self.group(tenant, group)?;
            }
            key.group = group;
        }
        key.name = change.name.unwrap_or(key.name);
        key.admin = change.admin.unwrap_or(key.admin);
        key.routes = change.routes.unwrap_or(key.routes);
        key.limits = change.limits.unwrap_or(key.limits);
        key.expires_at = change.expires_at.unwrap_or(key.expires_at);
        self.commit(keys::update(&key_to_row(&key))).await?;
        self.put(key.clone())?;
        Ok(key)
    }

    /// Puts a changed key in force.
    fn put(&self, key: Key) -> Result<(), Error> {
        let principal = self.registry().put_key(key)?;
        self.snapshot.put(principal);
        Ok(())
    }

    /// One key.
    pub fn key(&self, tenant: &TenantId, id: KeyId) -> Result<Key, Error> {
        let key = self.registry().key(tenant, id).cloned();
        key.ok_or_else(|| Error::NoKey(tenant.clone(), id))
    }

    /// Keys, revoked ones too, oldest first; of one tenant or of all. A page
    /// goes on after an id.
    pub fn keys(&self, tenant: Option<&TenantId>, page: &PageRequest) -> Page<Key> {
        let after = page.after.as_ref().and_then(|id| id.parse::<KeyId>().ok());
        let registry = self.registry();
        let found = registry
            .keys()
            .filter(|key| tenant.is_none_or(|tenant| key.tenant == *tenant))
            .filter(|key| after.is_none_or(|after| key.id > after))
            .take(super::one_more(page));
        page.page(found.cloned().collect(), |key: &Key| key.id.to_string())
    }
}
