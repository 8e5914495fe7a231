//! The data plane from the client's bytes to the books: real control over a
//! real store, and scripts in place of time, other machines and the engine.

#[cfg(test)]
mod asked;
#[cfg(test)]
mod books;
#[cfg(test)]
mod breaking;
#[cfg(test)]
mod cancel;
#[cfg(test)]
mod crossing;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod fallback;
#[cfg(test)]
mod fetching;
#[cfg(test)]
mod hedge;
#[cfg(test)]
mod lanes;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod other;
#[cfg(test)]
mod pass;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod script;
#[cfg(test)]
mod world;
