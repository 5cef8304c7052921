//! YAML read as JSON, with the numbers told that JSON does not have: infinity and what is no number.

use orrery_core::Fault;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Reads a document. Numbers without end are null in the value and a fault each, by the path of their field.
///
/// # Errors
/// When it is no YAML.
pub(super) fn read(text: &str) -> Result<(Value, Vec<Fault>), serde_yaml::Error> {
    let document: Document = serde_yaml::from_str(text)?;
    Ok((document.value, document.lost))
}

/// A value and what was lost below it; paths begin at the value.
#[derive(Debug, Default)]
struct Document {
    value: Value,
    lost: Vec<Fault>,
}

impl Document {
    /// Takes over what was lost in the field or item `name`.
    fn adopt(&mut self, name: &str, lost: Vec<Fault>) {
        self.lost.extend(lost.into_iter().map(|fault| Fault { path: format!("/{name}{}", fault.path), ..fault }));
    }
}

impl From<Value> for Document {
    fn from(value: Value) -> Self {
        Self { value, lost: Vec::new() }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Document, E> {
        Ok(Value::Bool(value).into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Document, E> {
        Ok(Value::from(value).into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Document, E> {
        Ok(Value::from(value).into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Document, E> {
        Number::from_i128(value).map(|number| Value::Number(number).into()).ok_or_else(|| E::custom("a number is too large"))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Document, E> {
        Number::from_u128(value).map(|number| Value::Number(number).into()).ok_or_else(|| E::custom("a number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Document, E> {
        if let Some(number) = Number::from_f64(value) {
            return Ok(Value::Number(number).into());
        }
        let written = if value.is_nan() {
            ".nan"
        } else if value > 0.0 {
            ".inf"
        } else {
            "-.inf"
        };
        let fault = Fault::new("", "must be a finite number; leave the field out for its default").with_value(written);
        Ok(Document { value: Value::Null, lost: vec![fault] })
    }

    fn visit_str<E>(self, value: &str) -> Result<Document, E> {
        Ok(Value::from(value).into())
    }

    fn visit_string<E>(self, value: String) -> Result<Document, E> {
        Ok(Value::String(value).into())
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::default())
    }

    fn visit_none<E>(self) -> Result<Document, E> {
        Ok(Document::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        Document::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document, A::Error> {
        let (mut document, mut list) = (Document::default(), Vec::new());
        while let Some(item) = items.next_element::<Document>()? {
            document.adopt(&list.len().to_string(), item.lost);
            list.push(item.value);
        }
        document.value = Value::Array(list);
        Ok(document)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Document, A::Error> {
        let (mut document, mut object) = (Document::default(), Map::new());
        while let Some((name, field)) = fields.next_entry::<String, Document>()? {
            document.adopt(&name, field.lost);
            object.insert(name, field.value);
        }
        document.value = Value::Object(object);
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_is_what_it_was_before() {
        let texts = [
            "a: no\nb: 'yes'\nc: 0.1\nd: 1\ne: true\nf: null\ng: -5\nh: [1, {i: x}]\nj: 18446744073709551615\n",
            "base: &base {a: 1}\napp: *base\nlist: []\nmap: {}\nempty:\n",
            "text: .nan.\nquoted: '.nan'\nname: nan\nother: Infinity\n",
            "7",
            "",
        ];
        for text in texts {
            let (value, lost) = read(text).unwrap();
            assert_eq!(value, serde_yaml::from_str::<Value>(text).unwrap(), "{text}");
            assert!(lost.is_empty(), "{lost:?}");
        }
        for text in ["a: [", "a: 1\na: 2\n"] {
            assert_eq!(read(text).is_ok(), serde_yaml::from_str::<Value>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn numbers_without_end_are_told_by_their_paths() {
        // A number too large for all of them is a text, which no field for numbers takes.
        let (value, lost) = read("a: .NaN\nb: [1, {c: -.Inf}]\nd: +.inf\ne: 1e999\n").unwrap();
        assert_eq!(value, json!({"a": null, "b": [1, {"c": null}], "d": null, "e": "1e999"}));
        let told: Vec<_> = lost.iter().map(|fault| (fault.path.as_str(), fault.value.as_deref().unwrap())).collect();
        assert_eq!(told, [("/a", ".nan"), ("/b/1/c", "-.inf"), ("/d", ".inf")]);
        assert_eq!(read(".inf").unwrap().1[0].path, "");
    }
}
