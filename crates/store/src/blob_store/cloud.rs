//! Blobs in the object store of a cloud: S3 and what speaks its protocol,
//! Azure Blob Storage, Google Cloud Storage.
//!
//! Credentials that are not configured are found as the clouds' own tools find
//! them: variables, web identity, the machine's metadata.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freehold_types::{
    BLOB_BYTES_MAX, BlobEntry, BlobError, BlobName, BlobScope, Blobs, BoxFuture, Transport,
};
use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreExt as _, RetryConfig};

use super::connector::Wire;
use super::{Bucket, Cloud, OpenError};

/// Tries after the first, and how long they may take together: somebody waits.
const RETRIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

/// A bucket with blobs.
pub struct CloudBlobs {
    store: Arc<dyn ObjectStore>,
    /// Without a slash at its end.
    prefix: String,
}

impl CloudBlobs {
    /// Over this transport. Nothing is asked yet.
    pub fn open(bucket: &Bucket, transport: &Arc<dyn Transport>) -> Result<Self, OpenError> {
        let wire = Wire(Arc::clone(transport));
        let store = match bucket.cloud {
            Cloud::S3 => s3(bucket, wire),
            Cloud::AzureBlob => azure(bucket, wire),
            Cloud::Gcs => gcs(bucket, wire),
        };
        let store = store.map_err(|error| OpenError::Cloud(words(&error)))?;
        Ok(Self { store, prefix: bucket.prefix.clone() })
    }

    fn path(&self, name: &impl std::fmt::Display) -> Path {
        // Nothing in names or in a checked prefix needs escaping.
        match &*self.prefix {
            "" => Path::from(name.to_string()),
            prefix => Path::from(format!("{prefix}/{name}")),
        }
    }

    fn name(&self, path: &Path) -> Option<BlobName> {
        let text: &str = path.as_ref();
        let name = match &*self.prefix {
            "" => text,
            prefix => text.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        name.parse().ok()
    }
}

impl Blobs for CloudBlobs {
    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        content: Bytes,
    ) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(async move {
            if content.len() > BLOB_BYTES_MAX {
                return Err(BlobError::TooLarge(content.len() as u64));
            }
            let put = self.store.put(&self.path(name), content.into()).await;
            put.map(drop).map_err(|error| told(&error))
        })
    }

    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Bytes, BlobError>> {
        Box::pin(async move {
            let told = |error| match error {
                Error::NotFound { .. } => BlobError::Missing(name.clone()),
                error => told(&error),
            };
            let found = self.store.get(&self.path(name)).await.map_err(told)?;
            if found.meta.size > BLOB_BYTES_MAX as u64 {
                return Err(BlobError::TooLarge(found.meta.size));
            }
            found.bytes().await.map_err(told)
        })
    }

    fn delete<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(async move {
            match self.store.delete(&self.path(name)).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(told(&error)),
            }
        })
    }

    fn list<'a>(
        &'a self,
        scope: &'a BlobScope,
        after: Option<&'a BlobName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<BlobEntry>, BlobError>> {
        Box::pin(async move {
            let prefix = self.path(&scope.prefix());
            let prefix = Some(&prefix).filter(|prefix| !prefix.as_ref().is_empty());
            let mut objects = match after {
                Some(after) => self.store.list_with_offset(prefix, &self.path(after)),
                None => self.store.list(prefix),
            };
            let after = after.map(|after| self.path(after));
            let mut found = Vec::new();
            while found.len() < limit
                && let Some(object) = objects.try_next().await.map_err(|error| told(&error))?
            {
                // Not all that speak a protocol know where to go on from.
                if after.as_ref().is_some_and(|after| object.location <= *after) {
                    continue;
                }
                let name = self.name(&object.location);
                found.extend(name.map(|name| BlobEntry { name, size: object.size }));
            }
            Ok(found)
        })
    }
}

fn s3(bucket: &Bucket, wire: Wire) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&bucket.name)
        .with_retry(retry())
        .with_client_options(client(bucket))
        .with_http_connector(wire);
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &bucket.region {
        builder = builder.with_region(region);
    }
    if let (Some(id), Some(secret)) = (&bucket.account, &bucket.secret) {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret.reveal());
    }
    Ok(Arc::new(builder.build()?))
}

fn azure(bucket: &Bucket, wire: Wire) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(&bucket.name)
        .with_retry(retry())
        .with_client_options(client(bucket))
        .with_http_connector(wire);
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if let Some(account) = &bucket.account {
        builder = builder.with_account(account);
    }
    if let Some(secret) = &bucket.secret {
        builder = builder.with_access_key(secret.reveal());
    }
    Ok(Arc::new(builder.build()?))
}

fn gcs(bucket: &Bucket, wire: Wire) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&bucket.name)
        .with_retry(retry())
        .with_client_options(client(bucket))
        .with_http_connector(wire);
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    Ok(Arc::new(builder.build()?))
}

fn client(bucket: &Bucket) -> ClientOptions {
    let plain = bucket.endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    ClientOptions::new().with_allow_http(plain)
}

fn retry() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: PATIENCE, ..RetryConfig::default() }
}

fn told(error: &Error) -> BlobError {
    let why = words(error);
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => BlobError::Denied(why),
        _ => BlobError::Unavailable(why),
    }
}

/// An error with its causes, as far as they say more.
fn words(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}
