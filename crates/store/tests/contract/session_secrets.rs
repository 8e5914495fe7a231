//! Credentials of sessions.

use std::sync::Arc;

use freehold_store::session_secrets::{delete, get, put};
use freehold_types::{Db, SessionId, TenantId, Unit};

use crate::samples::at;

pub(crate) async fn a_secret_is_kept_under_its_name_in_its_session(db: &dyn Db) {
    let tenant = TenantId::new("acme").unwrap();
    let [one, other] = [1, 2].map(|n| SessionId::from_parts(at(0), &[n; 10]));
    for (session, sealed) in [(one, [1]), (one, [2]), (other, [3])] {
        let mut unit = Unit::new("test");
        put(&mut unit, &tenant, session, "auth", Arc::from(sealed));
        db.write(unit).await.unwrap();
    }
    assert_eq!(get(db, &tenant, one, "auth").await.unwrap().as_deref(), Some(&[2][..]));
    assert_eq!(get(db, &tenant, one, "else").await.unwrap(), None);
    assert_eq!(get(db, &TenantId::main(), one, "auth").await.unwrap(), None);
    db.write(delete(&tenant, one)).await.unwrap();
    assert_eq!(get(db, &tenant, one, "auth").await.unwrap(), None);
    assert_eq!(get(db, &tenant, other, "auth").await.unwrap().as_deref(), Some(&[3][..]));
}
