//! What every blob store has to keep. Each check has names of its own, so
//! that all may run over one bucket.

use bytes::Bytes;
use freehold_types::{BlobError, BlobName, BlobScope, Blobs, SessionId, TenantId};

/// The bytes that two digits stand for, over and over.
fn hash(n: u8) -> [u8; 32] {
    [n; 32]
}

pub(crate) fn session(n: u32) -> SessionId {
    format!("sess_01890000000070008000{n:012x}").parse().unwrap()
}

pub(crate) fn name(tenant: &str, session_number: u32, n: u8) -> BlobName {
    let tenant = TenantId::new(tenant).unwrap();
    BlobName { tenant, session: session(session_number), hash: hash(n) }
}

pub(crate) async fn what_was_put_is_there_as_it_was(blobs: &dyn Blobs) {
    let large: Bytes = (0..3_000_001_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    for (n, content) in [(1, Bytes::new()), (2, Bytes::from_static(&[0, 255, 10, 13])), (3, large)]
    {
        let name = name("kept", 1, n);
        blobs.put(&name, content.clone()).await.unwrap();
        assert_eq!(blobs.get(&name).await.unwrap(), content);
        blobs.put(&name, content.clone()).await.unwrap();
        assert_eq!(blobs.get(&name).await.unwrap(), content, "again");
    }
}

pub(crate) async fn what_is_not_there_is_missing_and_may_be_removed(blobs: &dyn Blobs) {
    let (gone, stays) = (name("gone", 1, 1), name("gone", 1, 2));
    assert_eq!(blobs.get(&gone).await, Err(BlobError::Missing(gone.clone())));
    blobs.delete(&gone).await.unwrap();
    for name in [&gone, &stays] {
        blobs.put(name, Bytes::from_static(b"x")).await.unwrap();
    }
    blobs.delete(&gone).await.unwrap();
    blobs.delete(&gone).await.unwrap();
    assert_eq!(blobs.get(&gone).await, Err(BlobError::Missing(gone.clone())));
    assert_eq!(blobs.get(&stays).await.unwrap(), "x");
    blobs.delete(&stays).await.unwrap();
    blobs.put(&gone, Bytes::from_static(b"y")).await.unwrap();
    assert_eq!(blobs.get(&gone).await.unwrap(), "y", "put again");
}

pub(crate) async fn blobs_are_listed_in_order_by_the_page(blobs: &dyn Blobs) {
    // Names where the order of text is not that of its parts.
    let tenants = ["l", "l-a", "l0", "l_b"];
    let mut all = Vec::new();
    for tenant in tenants {
        for (session, n) in [(1, 1), (1, 2), (2, 1), (10, 200)] {
            all.push(name(tenant, session, n));
        }
    }
    for (size, name) in all.iter().enumerate() {
        blobs.put(name, vec![7; size].into()).await.unwrap();
    }
    let sizes: Vec<u64> = (0..all.len() as u64).collect();
    let mut sorted: Vec<(BlobName, u64)> = all.into_iter().zip(sizes).collect();
    sorted.sort_by_key(|(name, _)| name.to_string());

    let listed = async |scope: BlobScope, page: usize| {
        let mut found: Vec<(BlobName, u64)> = Vec::new();
        loop {
            let after = found.last().map(|(name, _)| name.clone());
            let entries = blobs.list(&scope, after.as_ref(), page).await.unwrap();
            assert!(entries.len() <= page);
            if entries.is_empty() {
                return found;
            }
            found.extend(entries.into_iter().map(|entry| (entry.name, entry.size)));
        }
    };
    let ours = |(name, _): &(BlobName, u64)| tenants.contains(&name.tenant.as_str());
    for page in [1, 3, 100] {
        let found: Vec<_> = listed(BlobScope::All, page).await.into_iter().filter(ours).collect();
        assert_eq!(found, sorted, "pages of {page}");
    }
    for tenant in tenants {
        let tenant = TenantId::new(tenant).unwrap();
        let of: Vec<_> = sorted.iter().filter(|(name, _)| name.tenant == tenant).cloned().collect();
        assert_eq!(listed(BlobScope::Tenant(tenant.clone()), 2).await, of);
        let scope = BlobScope::Session(tenant, session(1));
        assert_eq!(listed(scope, 1).await, of[..2]);
    }
    let nobody = TenantId::new("nobody").unwrap();
    assert!(blobs.list(&BlobScope::Tenant(nobody), None, 9).await.unwrap().is_empty());
}

pub(crate) async fn putting_and_removing_side_by_side_loses_nothing(blobs: &dyn Blobs) {
    for round in 0..20 {
        let (goes, comes) = (name("busy", 1, 1), name("busy", 1, 2));
        blobs.put(&goes, Bytes::from_static(b"goes")).await.unwrap();
        let (removed, put) =
            tokio::join!(blobs.delete(&goes), blobs.put(&comes, Bytes::from_static(b"comes")));
        removed.unwrap();
        put.unwrap();
        assert_eq!(blobs.get(&comes).await.unwrap(), "comes", "{round}");
        assert!(matches!(blobs.get(&goes).await, Err(BlobError::Missing(_))));
        blobs.delete(&comes).await.unwrap();
    }
}
