//! Blobs in clouds' object stores, over our own transport: the contract of
//! `store/tests/blobs`, against emulators of S3 and of Azure Blob Storage.
//! `scripts/test` installs these and sets `FREEHOLD_TEST_MOTO` and
//! `FREEHOLD_TEST_AZURITE` to their programs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "it is a test through and through, its functions without the attribute too"
)]

#[path = "../../../store/tests/blobs/contract.rs"]
mod contract;
mod emulator;

use std::sync::Arc;

use bytes::Bytes;
use freehold_gateway::transport::HttpTransport;
use freehold_gateway::transport::guard::Guard;
use freehold_store::blob_store::{self, BlobOptions, Bucket};
use freehold_types::{BlobError, Blobs, Secret, Transport};

use emulator::Emulator;

fn open(url: &str, set: impl FnOnce(&mut Bucket)) -> Arc<dyn Blobs> {
    let mut options = BlobOptions::parse(url).unwrap();
    let BlobOptions::Cloud(bucket) = &mut options else { panic!("{url}") };
    set(bucket);
    let transport: Arc<dyn Transport> = Arc::new(HttpTransport::new(1, Guard::default()));
    blob_store::open(&options, &transport).unwrap()
}

fn s3(emulator: &Emulator, url: &str) -> Arc<dyn Blobs> {
    open(url, |bucket| {
        bucket.endpoint = Some(emulator.url.clone());
        bucket.region = Some("eu-central-1".into());
        bucket.account = Some("id".into());
        bucket.secret = Some(Secret::new("secret"));
    })
}

fn azure(emulator: &Emulator, url: &str, key: &str) -> Arc<dyn Blobs> {
    open(url, |bucket| {
        bucket.endpoint = Some(format!("{}/{}", emulator.url, emulator::ACCOUNT));
        bucket.account = Some(emulator::ACCOUNT.into());
        bucket.secret = Some(Secret::new(key));
    })
}

async fn keeps_the_contract(blobs: &dyn Blobs) {
    contract::what_was_put_is_there_as_it_was(blobs).await;
    contract::what_is_not_there_is_missing_and_may_be_removed(blobs).await;
    contract::blobs_are_listed_in_order_by_the_page(blobs).await;
    contract::putting_and_removing_side_by_side_loses_nothing(blobs).await;
}

#[tokio::test]
async fn s3_keeps_the_contract() {
    let emulator = Emulator::s3("bucket");
    keeps_the_contract(&*s3(&emulator, "s3://bucket/a/prefix")).await;
    keeps_the_contract(&*s3(&emulator, "s3://bucket")).await;
}

#[tokio::test]
async fn azure_keeps_the_contract() {
    let emulator = Emulator::azure("container");
    keeps_the_contract(&*azure(&emulator, "az://container/a/prefix", emulator::KEY)).await;
    keeps_the_contract(&*azure(&emulator, "az://container", emulator::KEY)).await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_not_told() {
    let emulator = Emulator::azure("container");
    let wrong = "d3Jvbmcga2V5";
    let blobs = azure(&emulator, "az://container", wrong);
    let error = blobs.put(&contract::name("main", 1, 1), Bytes::new()).await.unwrap_err();
    assert!(matches!(error, BlobError::Denied(_)), "{error}");
    assert!(!error.to_string().contains(wrong), "{error}");
}

#[tokio::test]
async fn a_store_that_is_away_is_unavailable() {
    let emulator = Emulator::s3("bucket");
    let blobs = s3(&emulator, "s3://bucket");
    let name = contract::name("main", 1, 1);
    blobs.put(&name, Bytes::from_static(b"x")).await.unwrap();
    drop(emulator);
    let error = blobs.get(&name).await.unwrap_err();
    assert!(matches!(error, BlobError::Unavailable(_)), "{error}");
}
