//! Which blob store, as its URL says.

use std::path::PathBuf;

use freehold_types::Secret;

/// A blob store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobOptions {
    /// A folder in the data folder, and so this process's alone.
    Own(PathBuf),
    /// A folder that others may use, too.
    Folder(PathBuf),
    /// A cloud's.
    Cloud(Bucket),
}

/// Whose object store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon S3, and what speaks its protocol.
    S3,
    /// Azure Blob Storage.
    AzureBlob,
    /// Google Cloud Storage.
    Gcs,
}

/// A bucket or container, and how it is reached. What is `None` comes from the
/// environment, as the cloud's own tools take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Whose it is.
    pub cloud: Cloud,
    /// Its name.
    pub name: String,
    /// What the names of all objects begin with; may be empty.
    pub prefix: String,
    /// In place of the cloud's own address: `https://minio.example:9000`.
    pub endpoint: Option<String>,
    /// S3: the region.
    pub region: Option<String>,
    /// S3: the access key's id; Azure: the storage account.
    pub account: Option<String>,
    /// S3: the secret access key; Azure: the account's key.
    pub secret: Option<Secret>,
}

/// A URL that leads to no blob store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(&'static str);

impl BlobOptions {
    /// Reads `file:///FOLDER`, `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or
    /// `gs://BUCKET/PREFIX`.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError(FORMS))?;
        let cloud = match scheme {
            "file" if rest.starts_with('/') => return Ok(Self::Folder(rest.into())),
            "file" => return Err(UrlError("a folder has an absolute path: file:///var/lib/blobs")),
            "s3" => Cloud::S3,
            "az" => Cloud::AzureBlob,
            "gs" => Cloud::Gcs,
            _ => return Err(UrlError(FORMS)),
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            return Err(UrlError(
                "it names no bucket, or one that cannot be: letters, digits, - _ .",
            ));
        }
        let prefix = prefix.trim_end_matches('/');
        let plain = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if !prefix.is_empty() && !prefix.split('/').all(plain) {
            return Err(UrlError(
                "its prefix has other than letters, digits, - _ . between slashes",
            ));
        }
        Ok(Self::Cloud(Bucket {
            cloud,
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: None,
            region: None,
            account: None,
            secret: None,
        }))
    }
}

const FORMS: &str =
    "it is none of file:///FOLDER, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX, gs://BUCKET/PREFIX";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_what_and_where() {
        assert_eq!(
            BlobOptions::parse("file:///var/blobs"),
            Ok(BlobOptions::Folder("/var/blobs".into()))
        );
        for (url, cloud, name, prefix) in [
            ("s3://bucket", Cloud::S3, "bucket", ""),
            ("s3://bucket/", Cloud::S3, "bucket", ""),
            ("az://box/a/b/", Cloud::AzureBlob, "box", "a/b"),
            ("gs://b.example/x", Cloud::Gcs, "b.example", "x"),
        ] {
            let Ok(BlobOptions::Cloud(found)) = BlobOptions::parse(url) else { panic!("{url}") };
            assert_eq!((found.cloud, &*found.name, &*found.prefix), (cloud, name, prefix), "{url}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for url in [
            "",
            "/var/blobs",
            "file://blobs",
            "s3:/b",
            "s3://",
            "s3:///x",
            "ftp://b",
            "s3://b//x",
            "s3://b/../x",
            "s3://key:secret@b/x",
            "gs://b/x?y=z",
        ] {
            assert!(BlobOptions::parse(url).is_err(), "{url}");
        }
    }
}
