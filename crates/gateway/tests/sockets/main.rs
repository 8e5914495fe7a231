//! The transport on real loopback sockets.

#[cfg(test)]
mod guarded;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod phases;
#[cfg(test)]
mod proxied;
#[cfg(test)]
mod secure;
