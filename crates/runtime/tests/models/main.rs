//! A session's door to models, over everything that is behind it but the
//! providers themselves.

#[cfg(test)]
mod gateway;
