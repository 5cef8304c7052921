//! Where a field of a YAML or JSON text stands, by its JSON pointer. JSON is read as the flow style of YAML.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser};

/// Most fields that get a position; later ones fall back to their nearest ancestor.
const MAX_POSITIONS: usize = 250_000;

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// Positions of all fields of one document.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    by_pointer: HashMap<String, Position>,
    /// Keys that occur twice in one object: pointer and place of the second.
    pub(crate) duplicates: Vec<(String, Position)>,
    /// Values that may be a number without end, or none: pointer and text. JSON has no such numbers, so that
    /// they are lost when the text is read.
    pub(crate) endless: Vec<(String, String)>,
}

/// What encloses the next event.
enum Frame {
    Sequence { pointer: String, next: usize },
    Mapping { pointer: String, key: Option<(String, Position)>, seen: HashSet<String> },
}

impl Positions {
    /// Reads the first document of `text`. A text that does not parse has the positions before the fault.
    pub(crate) fn of(text: &str) -> Self {
        let mut positions = Self::default();
        let mut stack: Vec<Frame> = Vec::new();
        for item in Parser::new_from_str(text) {
            let Ok((event, span)) = item else { break };
            let here = Position { line: span.start.line(), column: span.start.col() + 1 };
            match event {
                Event::MappingStart(..) => {
                    let pointer = positions.enter(&mut stack, here);
                    stack.push(Frame::Mapping { pointer, key: None, seen: HashSet::new() });
                }
                Event::SequenceStart(..) => {
                    let pointer = positions.enter(&mut stack, here);
                    stack.push(Frame::Sequence { pointer, next: 0 });
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    stack.pop();
                }
                Event::Scalar(value, ..) => positions.scalar(&mut stack, &value, here),
                Event::Alias(_) => positions.scalar(&mut stack, "*", here),
                Event::DocumentEnd => break,
                _ => {}
            }
        }
        positions
    }

    /// Records a value's place and returns its pointer. A key's own place serves for its value, because that is
    /// where people look; an item of a list has only its value's.
    fn enter(&mut self, stack: &mut [Frame], here: Position) -> String {
        let (pointer, place) = match stack.last_mut() {
            None => (String::new(), here),
            Some(Frame::Sequence { pointer, next }) => {
                *next += 1;
                (format!("{pointer}/{}", *next - 1), here)
            }
            Some(Frame::Mapping { pointer, key, .. }) => {
                if let Some((name, place)) = key.take() {
                    (format!("{pointer}/{}", escape(&name)), place)
                } else {
                    // A key that is itself a collection has no pointer.
                    *key = Some(("?".to_owned(), here));
                    (format!("{pointer}/?"), here)
                }
            }
        };
        if self.by_pointer.len() < MAX_POSITIONS {
            self.by_pointer.entry(pointer.clone()).or_insert(place);
        }
        pointer
    }

    fn scalar(&mut self, stack: &mut [Frame], value: &str, here: Position) {
        if let Some(Frame::Mapping { pointer, key: key @ None, seen }) = stack.last_mut() {
            if !seen.insert(value.to_owned()) {
                self.duplicates.push((format!("{pointer}/{}", escape(value)), here));
            }
            *key = Some((value.to_owned(), here));
            return;
        }
        let pointer = self.enter(stack, here);
        if may_be_endless(value) {
            self.endless.push((pointer, value.to_owned()));
        }
    }

    /// Place of a field, or of its nearest ancestor that is written down.
    pub(crate) fn find(&self, pointer: &str) -> Option<Position> {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.by_pointer.get(pointer) {
                return Some(*position);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

/// Whether a scalar may stand for infinity or for no number: `.inf`, `-.Inf`, `.nan`, `1e999`.
fn may_be_endless(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-', '.']);
    digits.parse::<f64>().is_ok_and(|number| !number.is_finite())
}

/// A key as one segment of a JSON pointer (RFC 6901).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A path in any of the spellings servers use (`/a/0/b`, `a.b(0)`, `a[0].b`, `$.a`) as a JSON pointer.
pub(crate) fn to_pointer(path: &str) -> String {
    if path.is_empty() || path == "/" || path == "$" {
        return String::new();
    }
    if path.starts_with('/') && !path.contains(['(', '[']) {
        return path.trim_end_matches('/').to_owned();
    }
    let path = path.trim_start_matches('$');
    let separators: &[char] = if path.contains('/') { &['/', '(', ')', '[', ']'] } else { &['.', '(', ')', '[', ']'] };
    let segments: Vec<String> = path
        .split(separators)
        .map(|segment| segment.trim_matches(['"', '\'']))
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned)
        .collect();
    segments.iter().fold(String::new(), |pointer, segment| pointer + "/" + segment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str, pointer: &str) -> (usize, usize) {
        let position = Positions::of(text).find(pointer).unwrap();
        (position.line, position.column)
    }

    const YAML: &str = "\
# a comment
id: /web
cpus: 0.1
container:
  docker:
    image: nginx
  portMappings:
    - containerPort: 80
      hostPort: 0
    - {containerPort: 81, name: \"a/b\"}
env: {A: 1, \"B c\": two}
script: |
  line: one
  --- no
last: &x [1, 2]
again: *x
";

    #[test]
    fn yaml_fields_are_found() {
        let cases = [
            ("/id", (2, 1)),
            ("/cpus", (3, 1)),
            ("/container/docker/image", (6, 5)),
            ("/container/portMappings/0/hostPort", (9, 7)),
            ("/container/portMappings/1", (10, 7)),
            ("/container/portMappings/1/name", (10, 27)),
            ("/env/B c", (11, 13)),
            ("/script", (12, 1)),
            ("/last/1", (15, 14)),
            ("/again", (16, 1)),
            // What is not written down stands at its parent.
            ("/container/docker/network", (5, 3)),
            ("/missing", (2, 1)),
        ];
        for (pointer, position) in cases {
            assert_eq!(at(YAML, pointer), position, "{pointer}");
        }
    }

    #[test]
    fn json_fields_are_found() {
        let json = "{\n\t\"id\": \"/web\",\n\t\"ports\": [80,\n\t\t{\"a~b\": [true]}]\n}";
        assert_eq!(at(json, "/id"), (2, 2));
        assert_eq!(at(json, "/ports/0"), (3, 12));
        assert_eq!(at(json, "/ports/1/a~0b/0"), (4, 12));
    }

    #[test]
    fn duplicate_keys_are_reported_with_their_place() {
        let positions = Positions::of("{\"a\": 1, \"b\": {\"c\": 1,\n \"c\": 2}, \"a\": 3}");
        let found: Vec<_> = positions.duplicates.iter().map(|(p, at)| (p.as_str(), at.line, at.column)).collect();
        assert_eq!(found, [("/b/c", 2, 2), ("/a", 2, 11)]);
    }

    #[test]
    fn numbers_without_end_are_noted() {
        let positions = Positions::of("a: .nan\nb: [1, -.INF, {c: 1e999}]\n.inf: x\nd: info\ne: 1e9\n");
        let found: Vec<_> = positions.endless.iter().map(|(pointer, text)| (pointer.as_str(), text.as_str())).collect();
        assert_eq!(found, [("/a", ".nan"), ("/b/1", "-.INF"), ("/b/2/c", "1e999")]);
    }

    #[test]
    fn paths_of_servers_become_pointers() {
        let cases = [
            ("", ""),
            ("/", ""),
            ("/cpus", "/cpus"),
            ("/container/portMappings(0)/hostPort", "/container/portMappings/0/hostPort"),
            ("container.docker.image", "/container/docker/image"),
            ("$.ports[1]", "/ports/1"),
            ("(0)", "/0"),
        ];
        for (path, pointer) in cases {
            assert_eq!(to_pointer(path), pointer, "{path}");
        }
    }

    #[test]
    fn broken_text_keeps_what_came_before() {
        assert_eq!(at("a: 1\nb: [1, 2\nc: }", "/a"), (1, 1));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = Positions::of(&text).find("/a/b");
        }

        #[test]
        fn no_path_panics(path in ".{0,60}") {
            let _ = to_pointer(&path);
        }
    }
}
