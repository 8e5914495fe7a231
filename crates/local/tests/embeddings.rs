//! The embedder with a real model: all-MiniLM-L6-v2.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it cannot go on")]

mod weights;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use freehold_local::{Embedder, Embeddings};
use freehold_types::ErrorKind;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A runtime of one future.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        std::thread::park();
    }
}

fn embedder() -> Embedder {
    let folder = weights::path("all-minilm-l6-v2").parent().unwrap().to_owned();
    Embedder::new("all-minilm-l6-v2", folder, 4)
}

fn embed(texts: &[&str]) -> Embeddings {
    wait(embedder().embed(texts.iter().map(|t| (*t).to_owned()).collect())).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn near(found: &[f32], expected: &[f32]) {
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() < 2e-5, "{found:?} is not {expected:?}");
    }
}

#[test]
fn vectors_equal_those_of_an_independent_implementation() {
    // Computed once in 64-bit floats with numpy and the makers' tokenizer.
    let long = "word ".repeat(600);
    let found = embed(&[
        "The cat sits on the mat.",
        "A kitten is resting on a rug.",
        "Quarterly revenue rose by twelve percent.",
        "naïve café 漢字 😀",
        &long,
    ]);
    let expected: [[f32; 6]; 5] = [
        [0.134_177, -0.032_9, -0.024_804, 0.041_439, -0.036_348, 0.041_814],
        [0.075_357, 0.015_11, 0.012_094, 0.060_79, -0.004_022, 0.056_365],
        [0.059_081, -0.006_687, -0.050_528, -0.076_565, -0.031_951, -0.017_174],
        [-0.026_077, 0.032_755, -0.003_897, 0.031_272, 0.008_139, -0.005_192],
        [-0.008_124, -0.095_586, -0.038_673, 0.049_662, -0.043_794, 0.023_72],
    ];
    for (vector, expected) in found.vectors.iter().zip(expected) {
        assert_eq!(vector.len(), 384);
        assert!((cosine(vector, vector) - 1.0).abs() < 1e-5);
        near(vector, &expected);
    }
    assert_eq!((found.tokens, found.truncated), (9 + 10 + 9 + 7 + 256, 1));
    let cat = &found.vectors[0];
    assert!((cosine(cat, &found.vectors[1]) - 0.641_13).abs() < 1e-4);
    assert!(cosine(cat, &found.vectors[1]) > cosine(cat, &found.vectors[2]) + 0.5);
}

#[test]
fn a_text_has_the_same_vector_in_any_company() {
    let alone = embed(&["red apple"]).vectors;
    let texts = ["a much longer text about something else entirely", "red apple", ""];
    let together = embed(&texts).vectors;
    near(&together[1], &alone[0]);
    assert!(together[2].iter().all(|x| x.is_finite()));
}

#[test]
fn too_many_texts_are_refused() {
    let error = wait(embedder().embed(vec![String::new(); 3000])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert_eq!(wait(embedder().embed(Vec::new())).unwrap_err().kind, ErrorKind::Invalid);
}

#[test]
fn a_missing_folder_is_named() {
    let embedder = Embedder::new("x", "/nowhere", 1);
    let error = wait(embedder.embed(vec!["x".into()])).unwrap_err();
    assert!(error.message.contains("/nowhere/config.json"), "{}", error.message);
}
