//! Prints entries for people.

use std::io::Write;

use crate::store::list;
use crate::{Entry, Error, Result, Store};

/// Most bytes shown of a value that is not text.
const MAX_BINARY_BYTES: usize = 64;

/// Writes every entry under `prefix`, with its revisions, at one revision of
/// the store: JSON indented, other text as it is, other bytes in hexadecimal.
pub async fn dump(store: &dyn Store, prefix: &str, writer: &mut (dyn Write + Send)) -> Result<()> {
    let range = list(store, prefix).await?;
    let failed = |error: std::io::Error| Error::invalid(format!("the dump can't be written: {error}"));
    for entry in &range.entries {
        write_entry(writer, entry).map_err(failed)?;
    }
    writeln!(writer, "# {} keys at revision {}", range.entries.len(), range.revision).map_err(failed)
}

fn write_entry(writer: &mut (dyn Write + Send), entry: &Entry) -> std::io::Result<()> {
    let Entry { key, create_revision, mod_revision, version, value } = entry;
    let bytes = value.len();
    writeln!(writer, "{key}  (created {create_revision}, modified {mod_revision}, version {version}, {bytes} bytes)")?;
    for line in text(value).lines() {
        writeln!(writer, "  {line}")?;
    }
    Ok(())
}

/// Replaces secrets, which documents keep as `{"redact": "…"}`. Always true.
fn redact(value: &mut serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(fields) => {
            if let Some(secret) = fields.get_mut("redact") {
                *secret = "(secret)".into();
            }
            fields.values_mut().all(redact)
        }
        serde_json::Value::Array(items) => items.iter_mut().all(redact),
        _ => true,
    }
}

/// A value as a person can read it. Control characters are escaped, since a
/// value must not be able to drive the terminal it is shown on.
fn text(value: &[u8]) -> String {
    let Ok(plain) = std::str::from_utf8(value) else {
        let shown = value.iter().take(MAX_BINARY_BYTES).fold("0x".to_owned(), |shown, byte| format!("{shown}{byte:02x}"));
        return if value.len() > MAX_BINARY_BYTES { shown + "…" } else { shown };
    };
    if plain.starts_with(['{', '['])
        && let Ok(mut json) = serde_json::from_str::<serde_json::Value>(plain)
        && redact(&mut json)
        && let Ok(pretty) = serde_json::to_string_pretty(&json)
    {
        return pretty;
    }
    if plain.contains("\"redact\"") {
        return "(damaged, and holds a secret)".into();
    }
    plain.chars().flat_map(|c| if c.is_control() && c != '\n' { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_values_to_people() {
        let cases: [(&[u8], &str); 7] = [
            (br#"{"a":1.50}"#, "{\n  \"a\": 1.50\n}"),
            (b"plain\nlines", "plain\nlines"),
            (b"\x1b[2J", "\\u{1b}[2J"),
            (b"\xff\x00", "0xff00"),
            (b"{broken", "{broken"),
            (br#"{"key":{"redact":"mine"#, "(damaged, and holds a secret)"),
            (br#"[{"key":{"redact":"mine"}}]"#, "[\n  {\n    \"key\": {\n      \"redact\": \"(secret)\"\n    }\n  }\n]"),
        ];
        for (value, shown) in cases {
            assert_eq!(text(value), shown);
        }
    }

    #[tokio::test]
    async fn dumps_a_prefix() {
        let store = crate::Embedded::in_memory().unwrap();
        store.transact(crate::Transaction::new().put("/a/1", "{\"x\":[]}").put("/b", "no")).await.unwrap();
        let mut out = Vec::new();
        dump(&store, "/a/", &mut out).await.unwrap();
        let expected = "/a/1  (created 2, modified 2, version 1, 8 bytes)\n  {\n    \"x\": []\n  }\n# 1 keys at revision 2\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
