//! Blobs in memory, which every node of a world reaches; sometimes not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use freehold_types::{BlobEntry, BlobError, BlobName, BlobScope, Blobs, BoxFuture};

use crate::clock::MS;
use crate::world::{World, lock};

/// What lies there.
pub(crate) type Shelf = Mutex<BTreeMap<String, (BlobName, Bytes)>>;

/// The blobs as a node reaches them.
pub(crate) struct NodeBlobs {
    world: Arc<World>,
    machine: usize,
}

impl NodeBlobs {
    pub(crate) fn new(world: &Arc<World>, machine: usize) -> Self {
        Self { world: Arc::clone(world), machine }
    }

    fn after_a_while<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shelf) -> Result<T, BlobError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, BlobError>> {
        let unread = lock(&self.world.faults).rates.unread;
        let fails = lock(&self.world.chance.store).per_mille(unread);
        if fails {
            self.world.count("blob unavailable");
        }
        let wait = lock(&self.world.chance.store).between(100, 20 * MS);
        let (world, sleep) = (Arc::clone(&self.world), self.world.clock.sleep(wait, self.machine));
        Box::pin(async move {
            sleep.await;
            if fails { Err(BlobError::Unavailable("not now".into())) } else { act(&world.shelf) }
        })
    }
}

impl Blobs for NodeBlobs {
    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        content: Bytes,
    ) -> BoxFuture<'a, Result<(), BlobError>> {
        let name = name.clone();
        self.after_a_while(move |shelf| {
            lock(shelf).entry(name.to_string()).or_insert((name, content));
            Ok(())
        })
    }

    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Bytes, BlobError>> {
        let name = name.clone();
        self.after_a_while(move |shelf| {
            let found = lock(shelf).get(&name.to_string()).map(|(_, content)| content.clone());
            found.ok_or(BlobError::Missing(name))
        })
    }

    fn delete<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<(), BlobError>> {
        let name = name.to_string();
        self.after_a_while(move |shelf| {
            lock(shelf).remove(&name);
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        scope: &'a BlobScope,
        after: Option<&'a BlobName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<BlobEntry>, BlobError>> {
        let (prefix, after) = (scope.prefix(), after.map(ToString::to_string));
        self.after_a_while(move |shelf| {
            let shelf = lock(shelf);
            let found = shelf.iter().filter(|(name, _)| name.starts_with(&prefix));
            let found = found.filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
            let entry = |(_, (name, content)): (_, &(BlobName, Bytes))| BlobEntry {
                name: name.clone(),
                size: content.len() as u64,
            };
            Ok(found.take(limit).map(entry).collect())
        })
    }
}
