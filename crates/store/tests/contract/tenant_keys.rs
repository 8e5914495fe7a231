//! The keys of tenants: one each, all under one master key.

use std::sync::Arc;

use freehold_store::tenant_keys::{self, TenantKey};
use freehold_types::{Db, TenantId};

use crate::samples::{at, held_back};

fn key(tenant: &str, master: &str, sealed: u8) -> TenantKey {
    TenantKey {
        tenant: TenantId::new(tenant).unwrap(),
        master: master.into(),
        sealed: Arc::from([sealed; 4]),
        created_at: at(0),
    }
}

async fn all(db: &dyn Db) -> Vec<TenantKey> {
    tenant_keys::list(db, None, 99).await.unwrap()
}

pub(crate) async fn a_tenant_has_one_key_whoever_makes_it(db: &dyn Db) {
    assert!(held_back(db, tenant_keys::insert(&key("a", "m1", 1))).await, "main comes first");
    for tenant in ["main", "a"] {
        let writes: Vec<_> =
            (0..8).map(|n| db.write(tenant_keys::insert(&key(tenant, "m1", n)))).collect();
        let mut made = 0;
        for write in writes {
            made += u32::from(write.await.is_ok());
        }
        assert_eq!(made, 1, "{tenant}");
    }
    let keys = all(db).await;
    assert_eq!(keys.iter().map(|key| key.tenant.to_string()).collect::<Vec<_>>(), ["a", "main"]);
    let a = TenantId::new("a").unwrap();
    assert_eq!(tenant_keys::get(db, &a).await.unwrap().as_ref(), keys.first());
    assert_eq!(tenant_keys::list(db, Some(&a), 99).await.unwrap(), keys[1..]);
    assert_eq!(tenant_keys::get(db, &TenantId::new("b").unwrap()).await.unwrap(), None);
}

pub(crate) async fn a_new_master_key_takes_all_keys_or_none(db: &dyn Db) {
    for tenant in ["main", "a", "b"] {
        db.write(tenant_keys::insert(&key(tenant, "m1", 1))).await.unwrap();
    }
    let before = all(db).await;
    let after = [key("a", "m2", 2), key("b", "m2", 3), key("main", "m2", 4)];
    assert!(held_back(db, tenant_keys::rewrap("m1", &after[1..])).await, "one is left");
    assert!(held_back(db, tenant_keys::rewrap("m0", &after)).await, "another master");
    assert_eq!(all(db).await, before);
    db.write(tenant_keys::rewrap("m1", &after)).await.unwrap();
    assert_eq!(all(db).await, after);
    assert!(held_back(db, tenant_keys::rewrap("m1", &after)).await, "only once");
}

pub(crate) async fn no_key_is_made_under_a_master_that_went(db: &dyn Db) {
    db.write(tenant_keys::insert(&key("main", "m1", 1))).await.unwrap();
    let (add, rotate) = (
        db.write(tenant_keys::insert(&key("a", "m1", 2))),
        db.write(tenant_keys::rewrap("m1", &[key("main", "m2", 3)])),
    );
    let (added, rotated) = (add.await.is_ok(), rotate.await.is_ok());
    assert!(added != rotated, "exactly one: {added} {rotated}");
    let masters: Vec<_> = all(db).await.into_iter().map(|key| key.master).collect();
    assert!(masters.windows(2).all(|two| two[0] == two[1]), "{masters:?}");
}
