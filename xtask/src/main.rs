//! Tasks of the house.
mod recordings;
fn main() {
    recordings::run(std::path::Path::new(&std::env::args().nth(1).unwrap())).unwrap()
}
