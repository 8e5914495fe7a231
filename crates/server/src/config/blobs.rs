//! `[blobs]`: where content lies that is too large for the store.

use std::path::Path;

use freehold_gateway::options::{At, SecretRef, Secrets};
use freehold_store::blob_store::{BlobOptions, Bucket, Cloud};
use serde::Deserialize;

/// The `[blobs]` table. It needs a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlobsOptions {
    /// `file:///FOLDER`, `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or
    /// `gs://BUCKET/PREFIX`. Without it, `blobs/` in the data folder.
    pub url: Option<String>,
    /// In place of the cloud's own address, for what speaks its protocol:
    /// `https://minio.example:9000`.
    pub endpoint: Option<String>,
    /// S3: the region. Default: `us-east-1`, or `AWS_REGION`.
    pub region: Option<String>,
    /// S3: the access key's id; Azure: the storage account.
    pub account: Option<String>,
    /// S3: the secret access key; Azure: the account's key. Without it,
    /// credentials are found as the cloud's own tools find them: variables,
    /// web identity, the machine's metadata.
    pub secret: Option<SecretRef>,
}

impl BlobsOptions {
    pub(super) fn validate(&self, at: &mut At<'_>) {
        let parsed = self.url.as_deref().map(BlobOptions::parse);
        if let Some(Err(error)) = &parsed {
            at.add("url", error.to_string());
            return;
        }
        let cloud = match parsed {
            Some(Ok(BlobOptions::Cloud(bucket))) => Some(bucket.cloud),
            _ => None,
        };
        if self.endpoint.as_ref().is_some_and(|url| !is_http(url)) {
            at.add("endpoint", "it is no http:// or https:// address".to_owned());
        }
        let unfit = "the url is not one that it is for".to_owned();
        let keyed = cloud.is_some_and(|cloud| cloud != Cloud::Gcs);
        for (field, set, fits) in [
            ("endpoint", self.endpoint.is_some(), cloud.is_some()),
            ("region", self.region.is_some(), cloud == Some(Cloud::S3)),
            ("account", self.account.is_some(), keyed),
        ] {
            if set && !fits {
                at.add(field, unfit.clone());
            }
        }
        if self.secret.is_none() {
            return;
        }
        if cloud == Some(Cloud::Gcs) {
            let told = "Google's credentials come as GOOGLE_APPLICATION_CREDENTIALS or from the \
                        machine";
            at.add("secret", told.to_owned());
        } else if !keyed {
            at.add("secret", unfit);
        } else if self.account.is_none() {
            at.add("secret", "`account` says whose it is; that is missing".to_owned());
        }
    }

    /// As the store takes it, for a node with this data folder.
    pub fn resolve(&self, folder: &Path, secrets: &Secrets) -> BlobOptions {
        let parsed = self.url.as_deref().and_then(|url| BlobOptions::parse(url).ok());
        match parsed {
            Some(BlobOptions::Cloud(bucket)) => BlobOptions::Cloud(Bucket {
                endpoint: self.endpoint.clone(),
                region: self.region.clone(),
                account: self.account.clone(),
                secret: self.secret.as_ref().and_then(|at| secrets.get(at)).cloned(),
                ..bucket
            }),
            Some(folder) => folder,
            None => BlobOptions::Own(folder.join("blobs")),
        }
    }
}

fn is_http(url: &str) -> bool {
    let uri = url.parse::<http::Uri>().ok();
    uri.is_some_and(|uri| {
        uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"))
    })
}
