//! Protobuf on the wire, as much of it as is needed: writing a JSON value by a table of fields, and
//! reading the fields of one message.

use serde_json::Value;

/// A field of a message: its name in JSON, its number and its kind.
pub(super) type Field = (&'static str, u32, Kind);

/// A message: its fields in the order they are written.
pub(super) type Message = &'static [Field];

/// Kind of a field. A JSON list writes the field once for each entry.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Bool,
    /// Any integer; also bytes' lengths and times.
    Int,
    Double,
    Text,
    /// A word with a number.
    Enum(&'static [(&'static str, u64)]),
    Message(Message),
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED32: u64 = 5;

/// Writes `value` as `message`. Fields that the table does not have are left out.
pub(super) fn encode(message: Message, value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, number, kind) in message {
        match value.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Array(entries)) => {
                for entry in entries {
                    put(&mut bytes, *number, *kind, entry);
                }
            }
            Some(entry) => put(&mut bytes, *number, *kind, entry),
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, number: u32, kind: Kind, value: &Value) {
    let tag = |wire: u64| u64::from(number) << 3 | wire;
    match kind {
        Kind::Bool => {
            varint(bytes, tag(VARINT));
            bytes.push(u8::from(value == &Value::Bool(true)));
        }
        Kind::Int => {
            varint(bytes, tag(VARINT));
            // Negative numbers are written as their two's complement.
            varint(bytes, value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned)).unwrap_or(0));
        }
        Kind::Double => {
            varint(bytes, tag(FIXED64));
            bytes.extend(value.as_f64().unwrap_or(0.0).to_le_bytes());
        }
        Kind::Text => lengthed(bytes, tag(LENGTH), value.as_str().unwrap_or_default().as_bytes()),
        Kind::Enum(words) => {
            // A word the table lacks is left out, as an unknown value would be.
            let word = value.as_str().unwrap_or_default();
            if let Some((_, code)) = words.iter().find(|(known, _)| *known == word) {
                varint(bytes, tag(VARINT));
                varint(bytes, *code);
            }
        }
        Kind::Message(message) => lengthed(bytes, tag(LENGTH), &encode(message, value)),
    }
}

fn lengthed(bytes: &mut Vec<u8>, tag: u64, content: &[u8]) {
    varint(bytes, tag);
    varint(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A field as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read<'a> {
    Int(u64),
    Bytes(&'a [u8]),
    /// Eight or four bytes; nothing here needs them.
    Fixed,
}

/// Reads the fields of one message; `None` when the bytes are no message.
pub(super) fn read(mut bytes: &[u8]) -> Option<Vec<(u64, Read<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = read_varint(&mut bytes)?;
        let number = tag >> 3;
        if number == 0 {
            return None;
        }
        let value = match tag & 7 {
            VARINT => Read::Int(read_varint(&mut bytes)?),
            FIXED64 => take(&mut bytes, 8).map(|_| Read::Fixed)?,
            FIXED32 => take(&mut bytes, 4).map(|_| Read::Fixed)?,
            LENGTH => {
                let length = usize::try_from(read_varint(&mut bytes)?).ok()?;
                Read::Bytes(take(&mut bytes, length)?)
            }
            _ => return None,
        };
        fields.push((number, value));
    }
    Some(fields)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        // The tenth byte holds one bit; what lies above is cut off, as everywhere.
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const INNER: Message = &[("value", 1, Kind::Text)];
    const OUTER: Message = &[
        ("on", 1, Kind::Bool),
        ("count", 2, Kind::Int),
        ("share", 3, Kind::Double),
        ("kind", 4, Kind::Enum(&[("A", 0), ("B", 300)])),
        ("inner", 16, Kind::Message(INNER)),
    ];

    #[test]
    fn bytes_of_each_kind() {
        for (value, bytes) in [
            (json!({}), vec![]),
            (json!({ "on": true, "unknown": 1 }), vec![0x08, 1]),
            (json!({ "count": 300 }), vec![0x10, 0xac, 0x02]),
            (json!({ "count": -1 }), [&[0x10][..], &[0xff; 9], &[1]].concat()),
            (json!({ "share": 1.0 }), vec![0x19, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
            (json!({ "kind": "B" }), vec![0x20, 0xac, 0x02]),
            (json!({ "kind": "C" }), vec![]),
            (json!({ "inner": [{ "value": "ab" }, {}] }), vec![0x82, 1, 4, 0x0a, 2, b'a', b'b', 0x82, 1, 0]),
        ] {
            assert_eq!(encode(OUTER, &value), bytes, "{value}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&bytes);
        }

        #[test]
        fn what_is_written_is_read(count in any::<u64>(), text in ".{0,40}") {
            let bytes = encode(OUTER, &json!({ "count": count, "inner": { "value": text } }));
            let fields = read(&bytes).unwrap();
            prop_assert_eq!(fields[0], (2, Read::Int(count)));
            let Read::Bytes(inner) = fields[1].1 else { panic!() };
            prop_assert_eq!(read(inner).unwrap(), vec![(1, Read::Bytes(text.as_bytes()))]);
        }
    }
}
