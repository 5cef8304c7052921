//! The repository document of versions 3, 4 and 5: `{"packages": […]}`, plain or gzip.
//!
//! One pass over the text finds the fields of every package; what lists need is decoded, the
//! rest stays a range of the text.

use super::{
    Content, PACKAGE_VERSIONS_MAX, REPOSITORY_BYTES_MAX, Repository, RepositoryError, RepositoryFault, RepositorySource,
};
use crate::package::{Fields, Package, PackageFault};
use flate2::read::MultiGzDecoder;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::io::Read as _;
use std::ops::Range;
use std::sync::Arc;

/// First bytes of a gzip stream.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

impl Repository {
    /// Reads a repository document, gzip or plain.
    ///
    /// # Errors
    /// When the document as a whole cannot be read. A broken package is left out and reported
    /// in [`Repository::faults`].
    pub fn from_json(source: RepositorySource, bytes: Vec<u8>) -> Result<Self, RepositoryError> {
        let text = Arc::new(unpack(bytes)?);
        let mut found = Found::default();
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        Document { text: &text, found: &mut found }
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(RepositoryError::NotJson)?;
        Ok(Self::new(source, found.packages, found.faults, Content::Document(text), None))
    }
}

fn unpack(bytes: Vec<u8>) -> Result<String, RepositoryError> {
    let bytes = if bytes.starts_with(&GZIP_MAGIC) {
        // The stream ends with its unpacked length; trusted only within the limit.
        let length = bytes.last_chunk::<4>().map_or(0, |tail| u32::from_le_bytes(*tail) as usize);
        let expected = length.min(bytes.len().saturating_mul(16));
        let mut unpacked = Vec::with_capacity(expected.min(REPOSITORY_BYTES_MAX) + 1);
        MultiGzDecoder::new(bytes.as_slice())
            .take(REPOSITORY_BYTES_MAX as u64 + 1)
            .read_to_end(&mut unpacked)
            .map_err(RepositoryError::Unpack)?;
        unpacked
    } else {
        bytes
    };
    if bytes.len() > REPOSITORY_BYTES_MAX {
        return Err(RepositoryError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| RepositoryError::NotText)
}

#[derive(Default)]
struct Found {
    packages: Vec<Arc<Package>>,
    faults: Vec<RepositoryFault>,
}

/// The whole document.
struct Document<'f, 't> {
    text: &'t Arc<String>,
    found: &'f mut Found,
}

impl<'de> DeserializeSeed<'de> for Document<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with a list 'packages'")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = false;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "packages" {
                seen = true;
                map.next_value_seed(Packages { text: self.text, found: self.found })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if seen { Ok(()) } else { Err(serde::de::Error::missing_field("packages")) }
    }
}

/// The list of packages.
struct Packages<'f, 't> {
    text: &'t Arc<String>,
    found: &'f mut Found,
}

impl<'de> DeserializeSeed<'de> for Packages<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Packages<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of packages")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0usize;
        while let Some(object) = list.next_element::<Object<'de>>()? {
            let broken = |fault: PackageFault| RepositoryFault {
                package: fault.package,
                version: fault.version,
                file: Some(format!("packages[{index}]")),
                reason: fault.reason,
            };
            match object.package(self.text) {
                Ok(_) if self.found.packages.len() >= PACKAGE_VERSIONS_MAX => {
                    self.found.faults.push(broken(PackageFault {
                        package: None,
                        version: None,
                        reason: format!("only {PACKAGE_VERSIONS_MAX} versions are read"),
                    }));
                    while list.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(());
                }
                Ok(package) => self.found.packages.push(Arc::new(package)),
                Err(fault) if self.found.faults.len() < super::REPOSITORY_FAULTS_MAX => {
                    self.found.faults.push(broken(fault));
                }
                Err(_) => {}
            }
            index += 1;
        }
        Ok(())
    }
}

/// One value of the list: an object's fields, undecoded, or something that is no object.
pub(crate) struct Object<'a> {
    pub(crate) fields: Option<Fields<'a>>,
}

impl Object<'_> {
    fn package(&self, text: &Arc<String>) -> Result<Package, PackageFault> {
        let broken = |reason: &str| PackageFault { package: None, version: None, reason: reason.to_owned() };
        let fields = self.fields.as_ref().ok_or_else(|| broken("not a JSON object"))?;
        let whole = span(text, fields).ok_or_else(|| broken("empty, or its first field has an escaped name"))?;
        Package::from_fields(text, whole, fields)
    }
}

/// Where the object with these fields stands in the text. Only whitespace can be between its
/// brace and its first key, and after its last value.
fn span(text: &str, fields: &Fields<'_>) -> Option<Range<usize>> {
    let (Cow::Borrowed(first), _) = fields.first()? else { return None };
    let (_, last) = fields.last()?;
    let offset = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    let start = text.get(..offset(first))?.rfind('{')?;
    let end = offset(last.get()) + last.get().len();
    let end = end + text.get(end..)?.find('}')? + 1;
    Some(start..end)
}

impl<'de> serde::Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a package")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Fields<'de> = Vec::with_capacity(24);
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            fields.push((key, map.next_value::<&'de RawValue>()?));
        }
        Ok(Object { fields: Some(fields) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Object { fields: None })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Object { fields: None })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Object { fields: None })
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Object { fields: None })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Object { fields: None })
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Object { fields: None })
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Object { fields: None })
    }
}

/// A key that borrows from the text unless it has escapes (`Cow` alone never borrows).
struct Key<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a field name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
