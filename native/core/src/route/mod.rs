//! Pure choices over pipes: which to read next, which to write next. They know no transport and no
//! socket type.

pub mod blocked;
pub mod dist;
pub mod fq;
pub mod ids;
pub mod lb;
pub mod trie;
