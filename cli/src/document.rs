//! Reading what the user wrote: files, directories and standard input, YAML or JSON, one document or many.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Fault};
use crate::position::Positions;

/// Largest input file.
pub(crate) const MAX_FILE_BYTES: u64 = 32 << 20;
/// Most files taken from a directory.
const MAX_FILES: usize = 10_000;
/// Deepest directory that `-R` descends to.
const MAX_DIRECTORY_DEPTH: usize = 32;
/// Most documents in one file.
const MAX_DOCUMENTS: usize = 10_000;

/// One document of an input.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// The file as the user named it, `-` for standard input.
    pub(crate) file: String,
    /// Line the document starts at, from 1.
    pub(crate) line: usize,
    pub(crate) value: Value,
    positions: Arc<Positions>,
}

impl Document {
    /// A fault at a field of this document.
    pub(crate) fn fault(&self, pointer: &str, message: impl Into<String>) -> Fault {
        self.faults(vec![(pointer.to_owned(), message.into())]).remove(0)
    }

    /// Faults at fields of this document, with their places and values.
    pub(crate) fn faults(&self, found: Vec<(String, String)>) -> Vec<Fault> {
        let to_fault = |(path, message): (String, String)| {
            let place = self.positions.find(&path);
            Fault {
                file: self.file.clone(),
                line: place.map_or(self.line, |place| place.line + self.line - 1),
                column: place.map_or(0, |place| place.column),
                value: if path.is_empty() { None } else { self.value.pointer(&path).map(brief) },
                path,
                message,
            }
        };
        found.into_iter().map(to_fault).collect()
    }
}

/// A value as compact JSON, cut when it is long.
pub(crate) fn brief(value: &Value) -> String {
    const MOST: usize = 80;
    let text = value.to_string();
    if text.chars().count() <= MOST {
        return text;
    }
    text.chars().take(MOST - 3).collect::<String>() + "..."
}

/// What reading gave: the documents that parse, and the faults of those that don't.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) documents: Vec<Document>,
    pub(crate) faults: Vec<Fault>,
}

/// Reads everything that `-f` names.
pub(crate) fn read_all(names: &[String], recursive: bool) -> Result<Input, Error> {
    let mut input = Input::default();
    for name in names {
        if name == "-" {
            let text = read_stdin()?;
            parse_into("-", &text, &mut input);
            continue;
        }
        let path = Path::new(name);
        if !path.is_dir() {
            parse_into(name, &read_file(path)?, &mut input);
            continue;
        }
        let mut files = Vec::new();
        list(path, recursive, 0, &mut files)?;
        if files.is_empty() {
            let hint = if recursive { "" } else { "; -R descends into its directories" };
            return Err(Error::usage(format!("{name} holds no .yaml, .yml or .json file{hint}")));
        }
        for file in files {
            parse_into(&file.display().to_string(), &read_file(&file)?, &mut input);
        }
    }
    Ok(input)
}

fn list(directory: &Path, recursive: bool, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::usage(format!("cannot read {}: {error}", directory.display()));
    let mut entries: Vec<PathBuf> = fs::read_dir(directory).map_err(failed)?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if hidden {
            continue;
        }
        if path.is_dir() {
            if recursive && depth < MAX_DIRECTORY_DEPTH && !path.is_symlink() {
                list(&path, recursive, depth + 1, files)?;
            }
        } else if matches!(extension, "yaml" | "yml" | "json") {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(Error::usage(format!("{} holds more than {MAX_FILES} files", directory.display())));
        }
    }
    Ok(())
}

/// Reads a text file of bounded size.
pub(crate) fn read_file(path: &Path) -> Result<String, Error> {
    let failed = |error: std::io::Error| Error::usage(format!("cannot read {}: {error}", path.display()));
    let file = fs::File::open(path).map_err(failed)?;
    read_text(file, &path.display().to_string())
}

/// Reads standard input as text of bounded size.
pub(crate) fn read_stdin() -> Result<String, Error> {
    read_text(std::io::stdin(), "standard input")
}

fn read_text(source: impl Read, name: &str) -> Result<String, Error> {
    let mut bytes = Vec::new();
    source
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::usage(format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::usage(format!("{name} is larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        Error::usage(format!("{name} is not UTF-8 text")).cause(format!("at byte {}", error.utf8_error().valid_up_to()))
    })
}

/// Parses one text into documents; an array counts as its items.
pub(crate) fn parse_into(file: &str, text: &str, input: &mut Input) {
    let json = Path::new(file).extension().is_some_and(|extension| extension == "json");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, part) in split(text) {
        if input.documents.len() >= MAX_DOCUMENTS {
            input.faults.push(bare_fault(file, line, 0, format!("more than {MAX_DOCUMENTS} documents")));
            return;
        }
        match parse(part, json) {
            Ok(None) => {}
            Ok(Some(value)) => {
                let positions = Arc::new(Positions::of(part));
                let duplicates = &positions.duplicates;
                let document = Document { file: file.to_owned(), line, value, positions: Arc::clone(&positions) };
                let describe = |(pointer, _): (String, _)| (pointer, "this key is written twice".to_owned());
                for (duplicate, fault) in
                    duplicates.iter().zip(document.faults(duplicates.iter().cloned().map(describe).collect()))
                {
                    let place = duplicate.1;
                    input.faults.push(Fault { line: place.line + line - 1, column: place.column, value: None, ..fault });
                }
                // It is looked at further, so that all its faults are told at once.
                input.faults.extend(endless(&document));
                if duplicates.is_empty() {
                    input.documents.push(document);
                }
            }
            Err((at, column, message)) => {
                // The parser stops at the first key that is written twice; all of them are told.
                let duplicates = if message.contains("duplicate") { Positions::of(part).duplicates } else { Vec::new() };
                for (path, place) in &duplicates {
                    let fault = bare_fault(file, place.line + line - 1, place.column, "this key is written twice".to_owned());
                    input.faults.push(Fault { path: path.clone(), ..fault });
                }
                if !duplicates.is_empty() {
                    continue;
                }
                input.faults.push(bare_fault(file, if at > 0 { line + at - 1 } else { line }, column, message));
            }
        }
    }
}

/// Numbers that JSON does not have, so that the document lost them: without a word their fields would get their
/// defaults.
fn endless(document: &Document) -> Vec<Fault> {
    let lost = |(pointer, _): &&(String, String)| document.value.pointer(pointer).is_some_and(Value::is_null);
    let fault = |(pointer, text): &(String, String)| {
        let fault = document.fault(pointer, "must be a finite number; leave the field out for its default");
        Fault { value: Some(text.clone()), ..fault }
    };
    document.positions.endless.iter().filter(lost).map(fault).collect()
}

fn bare_fault(file: &str, line: usize, column: usize, message: String) -> Fault {
    Fault { file: file.to_owned(), line, column, message, ..Fault::default() }
}

/// The documents of a YAML stream with their first lines. `---` and `...` at the start of a line cannot stand
/// inside a document (YAML 1.2, 9.1.2), so that looking for them is enough.
fn split(text: &str) -> Vec<(usize, &str)> {
    let marker = |line: &str, mark: &str| {
        line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
    };
    let mut parts = Vec::new();
    let (mut start, mut first, mut offset) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let ends = marker(line, "...");
        if marker(line, "---") || ends {
            parts.push((first, &text[start..offset]));
            // What follows the marker on its line belongs to the new document.
            let skip = if ends { line.len() } else { 3 };
            start = offset + skip;
            first = index + 1 + usize::from(ends);
        }
        offset += line.len();
    }
    parts.push((first, &text[start..]));
    parts.retain(|(_, part)| {
        part.lines().any(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#') && !line.starts_with('%')
        })
    });
    parts
}

/// One document; nothing when it is empty. Errors have line and column from 1, or 0 when unknown.
fn parse(text: &str, json: bool) -> Result<Option<Value>, (usize, usize, String)> {
    let trimmed = text.trim_start();
    let value = if json || trimmed.starts_with('{') {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => value,
            // A flow mapping of YAML starts as JSON does.
            Err(error) if json || looks_like_json(trimmed) => {
                return Err((error.line(), error.column(), json_message(&error)));
            }
            Err(_) => parse_yaml(text)?,
        }
    } else {
        parse_yaml(text)?
    };
    Ok((!value.is_null()).then_some(value))
}

fn looks_like_json(text: &str) -> bool {
    text.trim_start_matches('{').trim_start().starts_with(['"', '}'])
}

fn json_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    format!("not valid JSON: {text}")
}

fn parse_yaml(text: &str) -> Result<Value, (usize, usize, String)> {
    serde_yaml::from_str::<Value>(text).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
        (line, column, format!("not valid YAML: {}", without_place(&error.to_string())))
    })
}

/// A parser's message without places: the place is reported apart, and counted from the file's start.
fn without_place(message: &str) -> String {
    let words: Vec<&str> = message.split(' ').collect();
    let is_number = |at: usize| {
        let word = words.get(at).map_or("", |word| word.trim_end_matches([',', ':', ')']));
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let skip = usize::from(words[at] == "at");
        let named = |at: usize| matches!(words.get(at), Some(&("line" | "column" | "byte"))) && is_number(at + 1);
        if named(at + skip) {
            at += skip;
            while named(at) {
                at += 2;
            }
            // What closed the place closes the words before it.
            if let (Some(last), true) = (kept.last_mut(), words[at - 1].ends_with(',')) {
                *last = last.trim_end_matches(',');
            }
        } else {
            kept.push(words[at]);
            at += 1;
        }
    }
    kept.join(" ")
}

/// Parses one text that must be a single document, such as an options file.
pub(crate) fn single(file: &str, text: &str) -> Result<Option<Document>, Error> {
    let mut input = Input::default();
    parse_into(file, text, &mut input);
    if !input.faults.is_empty() {
        return Err(Error::usage(format!("{file} cannot be used")).faults(input.faults));
    }
    if input.documents.len() > 1 {
        return Err(Error::usage(format!("{file} must hold one document, not {}", input.documents.len())));
    }
    Ok(input.documents.pop())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(file: &str, text: &str) -> Input {
        let mut input = Input::default();
        parse_into(file, text, &mut input);
        input
    }

    #[test]
    fn documents_are_split_with_their_lines() {
        let text = "# head\n---\nid: /a\n---\n# only a comment\n--- \nid: /b\n...\n%YAML 1.2\n--- {id: /c}\n";
        let found: Vec<_> = read("x.yaml", text).documents.into_iter().map(|d| (d.line, d.value["id"].clone())).collect();
        assert_eq!(found, [(2, json!("/a")), (6, json!("/b")), (10, json!("/c"))]);
    }

    #[test]
    fn faults_have_file_lines() {
        let input = read("x.yaml", "id: /a\n---\nid: /b\nports:\n- 1\n- bad\n");
        let fault = input.documents[1].fault("/ports/1", "must be a number");
        assert_eq!(fault.to_line(), "x.yaml:6:3: /ports/1: must be a number (found \"bad\")");
    }

    #[test]
    fn every_bad_document_is_reported() {
        let input = read("x.yaml", "a: [1\n---\nid: /ok\n---\na: 1\na: 2\n");
        assert_eq!(input.documents.len(), 1);
        assert_eq!(input.faults.len(), 2, "{:?}", input.faults);
        assert!(input.faults[1].line >= 4, "{:?}", input.faults);
    }

    #[test]
    fn every_key_that_is_written_twice_is_told() {
        let input = read("x.yaml", "---\na: 1\nb: {c: 1, c: 2}\na: 2\n");
        let found: Vec<_> = input.faults.iter().map(|fault| (fault.line, fault.path.as_str())).collect();
        assert_eq!(found, [(3, "/b/c"), (4, "/a")]);
    }

    #[test]
    fn messages_lose_their_place_and_nothing_else() {
        let cases = [
            ("unclosed bracket '[' at byte 6 line 2 column 6", "unclosed bracket '['"),
            ("found it at line 3 column 1", "found it"),
            ("look at line breaks", "look at line breaks"),
            ("bad token at line 2 column 1, while scanning", "bad token while scanning"),
            ("", ""),
        ];
        for (message, expected) in cases {
            assert_eq!(without_place(message), expected);
        }
    }

    #[test]
    fn json_faults_have_their_place() {
        let input = read("x.json", "{\n \"id\": \"/a\",\n \"id\": \"/b\"\n}");
        assert_eq!(input.faults.len(), 1);
        assert_eq!((input.faults[0].line, input.faults[0].column), (3, 2));
        let input = read("x.json", "{\n \"id\": }");
        assert_eq!(input.faults[0].line, 2);
        assert!(input.faults[0].message.starts_with("not valid JSON"), "{:?}", input.faults);
    }

    #[test]
    fn yaml_1_2_scalars_stay_what_they_look_like() {
        let input = read("x.yaml", "a: no\nb: 'yes'\nc: 0.1\nd: 1\ne: true\nf: 0o7\ng: null\n");
        let value = &input.documents[0].value;
        assert_eq!(value["a"], json!("no"));
        assert_eq!(value["b"], json!("yes"));
        assert_eq!(value["c"].to_string(), "0.1");
        assert_eq!(value["d"], json!(1));
        assert_eq!(value["e"], json!(true));
    }

    #[test]
    fn numbers_without_end_are_faults_wherever_they_stand() {
        let text = "id: /ok\n---\nid: /a\ncpus: .nan\nplacement:\n  priority: -.Inf\nlist: [1, .inf]\nname: nan\ntext: '.nan'\n";
        let input = read("x.yaml", text);
        assert_eq!(input.documents.len(), 2, "what else is wrong with it is told too");
        let lines: Vec<_> = input.faults.iter().map(Fault::to_line).collect();
        let message = "must be a finite number; leave the field out for its default";
        assert_eq!(
            lines,
            [
                format!("x.yaml:4:1: /cpus: {message} (found .nan)"),
                format!("x.yaml:6:3: /placement/priority: {message} (found -.Inf)"),
                format!("x.yaml:7:11: /list/1: {message} (found .inf)"),
            ]
        );
        let kept = read("x.yaml", "name: nan\ntext: '.nan'\nother: Infinity\n");
        assert!(kept.faults.is_empty(), "{:?}", kept.faults);
        assert_eq!(kept.documents[0].value, json!({"name": "nan", "text": ".nan", "other": "Infinity"}));
        let merged = read("x.yaml", "base: &base {cpus: .nan}\napp: *base\n");
        assert_eq!(merged.faults[0].path, "/base/cpus");
    }

    #[test]
    fn bombs_and_depth_are_refused() {
        let deep = "[".repeat(100_000);
        assert_eq!(read("x.json", &deep).faults.len(), 1);
        assert_eq!(read("x.yaml", &deep).faults.len(), 1);
        let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (next, last) in ('b'..='j').zip('a'..='i') {
            let aliases = vec![format!("*{last}"); 10].join(",");
            bomb += &format!("{next}: &{next} [{aliases}]\n");
        }
        assert_eq!(read("x.yaml", &bomb).faults.len(), 1);
    }

    #[test]
    fn directories_are_read_in_order() {
        let temporary = tempfile::tempdir().unwrap();
        for (name, text) in [("b.yaml", "id: /b"), ("a.json", "{\"id\":\"/a\"}"), ("note.txt", "x"), ("s/c.yml", "id: /c")] {
            let path = temporary.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let name = temporary.path().to_string_lossy().into_owned();
        assert_eq!(read_all(std::slice::from_ref(&name), false).unwrap().documents.len(), 2);
        let all = read_all(&[name], true).unwrap().documents;
        let ids: Vec<_> = all.iter().map(|document| document.value["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["/a", "/b", "/c"]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-{}\\[\\]:,\"'a-c0-9&*|>#% \n\t.]{0,120}") {
            let _ = read("x.yaml", &text);
            let _ = read("x.json", &text);
        }
    }
}
