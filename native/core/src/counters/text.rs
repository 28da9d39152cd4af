//! JSON, as much of it as a snapshot needs (RFC 8259): what is written here is UTF-8 without control characters.
//!
//! Its functions stay out of line: they are small, called in many places, and only when somebody looks.

use std::fmt::{Display, Write};
use std::time::Duration;

pub struct Text {
    text: String,
    /// Something stands before on this level.
    follows: bool,
}

impl Text {
    pub fn new() -> Text {
        Text { text: String::new(), follows: false }
    }

    pub fn len(&self) -> usize {
        self.text.len()
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    #[inline(never)]
    fn comma(&mut self) {
        if std::mem::replace(&mut self.follows, true) {
            self.text.push(',');
        }
    }

    #[inline(never)]
    pub fn key(&mut self, name: &str) {
        self.string(name.as_bytes());
        self.text.push(':');
        self.follows = false;
    }

    #[inline(never)]
    pub fn open(&mut self, bracket: char) {
        self.comma();
        self.text.push(bracket);
        self.follows = false;
    }

    #[inline(never)]
    pub fn close(&mut self, bracket: char) {
        self.text.push(bracket);
        self.follows = true;
    }

    /// What another text holds, as one value.
    #[inline(never)]
    pub fn value(&mut self, other: Text) {
        self.comma();
        self.text.push_str(&other.text);
    }

    pub fn number(&mut self, value: impl Display) {
        self.display(&value);
    }

    #[inline(never)]
    fn display(&mut self, value: &dyn Display) {
        self.comma();
        let _ = write!(self.text, "{value}");
    }

    /// As a number with nine places. Not by way of a float: what writes those is as much code as a snapshot.
    pub fn seconds(&mut self, value: Duration) {
        self.number(format_args!("{}.{:09}", value.as_secs(), value.subsec_nanos()));
    }

    pub fn null(&mut self) {
        self.number("null");
    }

    /// Bytes that are meant to be read; what is not UTF-8 becomes U+FFFD.
    #[inline(never)]
    pub fn string(&mut self, bytes: &[u8]) {
        self.comma();
        self.text.push('"');
        for character in String::from_utf8_lossy(bytes).chars() {
            match character {
                '"' | '\\' => {
                    self.text.push('\\');
                    self.text.push(character);
                }
                ..' ' | '\u{7f}' => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(character));
                }
                _ => self.text.push(character),
            }
        }
        self.text.push('"');
    }

    /// Bytes that may be anything.
    pub fn hex(&mut self, bytes: &[u8]) {
        self.comma();
        self.text.push('"');
        for byte in bytes {
            let _ = write!(self.text, "{byte:02x}");
        }
        self.text.push('"');
    }

    pub fn string_or_null(&mut self, value: Option<&[u8]>) {
        match value {
            Some(bytes) => self.string(bytes),
            None => self.null(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_json_whatever_is_in_them() {
        let mut text = Text::new();
        text.open('[');
        text.string(b"a\"b\\c\n\x7f\x00");
        text.string(b"\xff");
        text.hex(b"\x00\xfe");
        text.null();
        text.number(7);
        text.close(']');
        let written = text.into_bytes();
        let wanted = "[\"a\\\"b\\\\c\\u000a\\u007f\\u0000\",\"\u{fffd}\",\"00fe\",null,7]";
        assert_eq!(String::from_utf8_lossy(&written), wanted);
    }

    #[test]
    fn commas_stand_between_and_nowhere_else() {
        let mut inner = Text::new();
        inner.open('[');
        inner.close(']');
        let mut text = Text::new();
        text.open('{');
        text.key("a");
        text.value(inner);
        text.key("b");
        text.open('[');
        text.number(1);
        text.number(2);
        text.close(']');
        text.close('}');
        assert_eq!(String::from_utf8_lossy(&text.into_bytes()), "{\"a\":[],\"b\":[1,2]}");
    }
}
