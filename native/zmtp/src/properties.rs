//! Metadata: the ordered list of named values that READY carries.
//!
//! Knows the packing and the limits of the list. Refuses to know what any property means.
//!
//! ```text
//!  name length (1 byte, 1..255)   name   value length (4 bytes, big-endian)   value
//! ```
//!
//! Names differ by more than case: RFC 37 compares them without it, and two entries that a reader
//! may confuse are refused, since peers that pick different ones would disagree on who is who.

use crate::error::{ProtocolError, clip};

/// How many properties one side may send.
pub const MAX_PROPERTIES: usize = 64;

/// How large all properties together may be on the wire, in bytes.
pub const MAX_METADATA_BYTES: usize = 8 * 1024;

const NAME_MAX: usize = 255;
const VALUE_LENGTH_BYTES: usize = 4;
const VALUE_MAX: u32 = u32::MAX >> 1;

/// Names and values in the order of the wire, always within the limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    encoded_bytes: usize,
}

impl Properties {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Append one property.
    ///
    /// # Errors
    /// Says which limit it would break, or that the name is there already; the list is unchanged.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), ProtocolError> {
        check_lengths(name, value)?;
        let size = self.encoded_bytes + encoded_bytes(name, value);
        if size > MAX_METADATA_BYTES {
            return Err(too_large(size));
        }
        if self.entries.len() >= MAX_PROPERTIES {
            return Err(ProtocolError::TooManyProperties { limit: MAX_PROPERTIES });
        }
        if self.find(name).is_some() {
            return Err(ProtocolError::DuplicateProperty { name: clip(name) });
        }
        self.entries.push((name.to_vec(), value.to_vec()));
        self.encoded_bytes = size;
        Ok(())
    }

    /// The value under a name, whatever the case of either.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.find(name.as_bytes())
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Append the wire form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            encode_property(name, value, out);
        }
    }

    /// Read a whole list; nothing may be missing and nothing may trail.
    ///
    /// # Errors
    /// The first limit broken, or where the bytes run short.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, ProtocolError> {
        if bytes.len() > MAX_METADATA_BYTES {
            return Err(too_large(bytes.len()));
        }
        let mut properties = Self::new();
        while let Some((name_len, rest)) = bytes.split_first() {
            let (name, rest) = take(rest, usize::from(*name_len))?;
            let (length, rest) = take_value_length(rest)?;
            let (value, rest) = take(rest, length)?;
            properties.push(name, value)?;
            bytes = rest;
        }
        Ok(properties)
    }

    fn find(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Append one property. One that the wire cannot carry is left out, since a wrong length byte
/// would change the meaning of everything behind it; [`Properties::push`] is where it is refused
/// with a reason.
pub(crate) fn encode_property(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    if check_lengths(name, value).is_err() {
        return;
    }
    let (Ok(name_len), Ok(value_len)) = (u8::try_from(name.len()), u32::try_from(value.len())) else {
        return;
    };
    out.push(name_len);
    out.extend_from_slice(name);
    out.extend_from_slice(&value_len.to_be_bytes());
    out.extend_from_slice(value);
}

fn encoded_bytes(name: &[u8], value: &[u8]) -> usize {
    1 + name.len() + VALUE_LENGTH_BYTES + value.len()
}

fn check_lengths(name: &[u8], value: &[u8]) -> Result<(), ProtocolError> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(ProtocolError::PropertyNameLength { length: name.len() });
    }
    match u32::try_from(value.len()) {
        Ok(length) if length <= VALUE_MAX => Ok(()),
        _ => Err(ProtocolError::PropertyValueLength { length: value.len() as u64 }),
    }
}

fn too_large(size: usize) -> ProtocolError {
    ProtocolError::MetadataTooLarge { size, limit: MAX_METADATA_BYTES }
}

fn take(bytes: &[u8], needed: usize) -> Result<(&[u8], &[u8]), ProtocolError> {
    bytes.split_at_checked(needed).ok_or(ProtocolError::PropertyTruncated { needed, available: bytes.len() })
}

fn take_value_length(bytes: &[u8]) -> Result<(usize, &[u8]), ProtocolError> {
    let Some((field, rest)) = bytes.split_first_chunk::<VALUE_LENGTH_BYTES>() else {
        return Err(ProtocolError::PropertyTruncated { needed: VALUE_LENGTH_BYTES, available: bytes.len() });
    };
    let length = u32::from_be_bytes(*field);
    match usize::try_from(length) {
        Ok(size) if length <= VALUE_MAX => Ok((size, rest)),
        _ => Err(ProtocolError::PropertyValueLength { length: u64::from(length) }),
    }
}
