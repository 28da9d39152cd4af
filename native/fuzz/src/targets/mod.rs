//! The targets, a file each. TARGETS.md says what each one proves.

pub mod commands;
pub mod connection;
pub mod facts;
pub mod framing;
pub mod greeting;
pub mod metadata;
pub mod traffic;
