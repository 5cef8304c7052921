//! Package options: from a file, from `--set`, and the faults found in them.

use serde_json::{Map, Value};

use crate::document::{Document, brief, read_file, read_stdin, single};
use crate::error::{Error, Fault};

/// Most segments of a `--set` name.
const MAX_SET_DEPTH: usize = 32;

/// Options as the user gave them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// File and flags merged; flags win.
    pub(crate) value: Map<String, Value>,
    /// The file, to place faults.
    document: Option<Document>,
    /// Pointers that flags have set, with the flag's text.
    flags: Vec<(String, String)>,
}

impl Options {
    /// Reads `--options` and applies `--set` in order. Every bad flag is reported.
    pub(crate) fn read(file: Option<&str>, sets: &[String]) -> Result<Self, Error> {
        let document = match file {
            Some("-") => single("-", &read_stdin()?)?,
            Some(name) => single(name, &read_file(std::path::Path::new(name))?)?,
            None => None,
        };
        let mut options = Self::default();
        if let Some(document) = document {
            let Some(map) = document.value.as_object() else {
                let fault = document.fault("", "options must be an object");
                return Err(Error::usage(format!("{} cannot be used as options", document.file)).faults(vec![fault]));
            };
            options.value.clone_from(map);
            options.document = Some(document);
        }
        let faults: Vec<Fault> = sets.iter().filter_map(|text| options.set(text).err()).collect();
        if faults.is_empty() { Ok(options) } else { Err(Error::usage("--set cannot be used so").faults(faults)) }
    }

    /// Applies `a.b.c=value`. The value is JSON when it parses as such, else text; `\.` is a dot in a name.
    fn set(&mut self, text: &str) -> Result<(), Fault> {
        let wrong = |message: &str| Fault { file: format!("--set {text}"), message: message.to_owned(), ..Fault::default() };
        let (name, value) = text.split_once('=').ok_or_else(|| wrong("must be NAME=VALUE, such as service.cpus=0.5"))?;
        let segments = split_name(name);
        if segments.iter().any(String::is_empty) || segments.len() > MAX_SET_DEPTH {
            return Err(wrong("the name must be option names joined by dots"));
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        let (last, parents) = segments.split_last().ok_or_else(|| wrong("the name is empty"))?;
        let mut map = &mut self.value;
        for segment in parents {
            let entry = map.entry(segment.clone()).or_insert_with(|| Value::Object(Map::new()));
            map = entry.as_object_mut().ok_or_else(|| wrong(&format!("{segment} is not an object")))?;
        }
        map.insert(last.clone(), value);
        let pointer = segments.iter().fold(String::new(), |path, segment| path + "/" + &crate::position::escape(segment));
        self.flags.push((pointer, text.to_owned()));
        Ok(())
    }

    /// Gives faults that the server found their place: the flag, or the line of the file.
    pub(crate) fn locate(&self, faults: Vec<Fault>) -> Vec<Fault> {
        let whole = Value::Object(self.value.clone());
        let place = |fault: Fault| {
            let value = if fault.path.is_empty() { None } else { whole.pointer(&fault.path).map(brief) };
            let value = fault.value.clone().or(value);
            let flag = self
                .flags
                .iter()
                .rev()
                .find(|(pointer, _)| fault.path == *pointer || fault.path.starts_with(&format!("{pointer}/")));
            if let Some((_, text)) = flag {
                return Fault { file: format!("--set {text}"), value, ..fault };
            }
            match &self.document {
                Some(document) => {
                    let found = document.fault(&fault.path, fault.message.clone());
                    Fault { value: value.or(found.value), ..found }
                }
                None => Fault { file: "options".to_owned(), value, ..fault },
            }
        };
        faults.into_iter().map(place).collect()
    }
}

fn split_name(name: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut escaped = false;
    for letter in name.chars() {
        match letter {
            '\\' if !escaped => escaped = true,
            '.' if !escaped => segments.push(String::new()),
            other => {
                if escaped && other != '.' && other != '\\' {
                    push_last(&mut segments, '\\');
                }
                push_last(&mut segments, other);
                escaped = false;
            }
        }
    }
    segments
}

fn push_last(segments: &mut [String], letter: char) {
    if let Some(last) = segments.last_mut() {
        last.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn flags_are_typed_and_nested() {
        let sets = ["a.b=1", "a.c=x y", "d=true", "e=null", "f=[1,2]", "a\\.b=dot", "g=\"5\"", "h="].map(str::to_owned);
        let options = Options::read(None, &sets).unwrap();
        let expected = json!({"a": {"b": 1, "c": "x y"}, "d": true, "e": null, "f": [1, 2], "a.b": "dot", "g": "5", "h": ""});
        assert_eq!(Value::Object(options.value), expected);
    }

    #[test]
    fn every_bad_flag_is_reported() {
        let sets = ["a", "=1", "b=1", "b.c=2", "x..y=1"].map(str::to_owned);
        let error = Options::read(None, &sets).unwrap_err();
        assert_eq!(error.faults.len(), 4, "{:?}", error.faults);
    }

    #[test]
    fn faults_are_placed_in_the_file_or_at_the_flag() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("o.yaml");
        std::fs::write(&path, "service:\n  cpus: many\n  name: x\n").unwrap();
        let name = path.to_string_lossy().into_owned();
        let options = Options::read(Some(&name), &["service.mem=lots".to_owned()]).unwrap();
        let fault = |path: &str| Fault { path: path.into(), message: "must be a number".into(), ..Fault::default() };
        let located = options.locate(vec![fault("/service/cpus"), fault("/service/mem"), fault("")]);
        assert_eq!(located[0].to_line(), format!("{name}:2:3: /service/cpus: must be a number (found \"many\")"));
        assert_eq!(located[1].to_line(), "--set service.mem=lots: /service/mem: must be a number (found \"lots\")");
        assert_eq!(located[2].to_line(), format!("{name}:1:1: must be a number"));
    }

    proptest! {
        #[test]
        fn no_flag_panics(text in ".{0,40}") {
            let _ = Options::default().set(&text);
        }
    }
}
