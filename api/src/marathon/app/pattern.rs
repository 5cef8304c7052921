//! What is wrong with a regular expression, told without compiling it.
//!
//! Compiling one takes milliseconds when it is near its size limit, and one request may bring thousands. So
//! the size is estimated from the parsed expression, always from above: what is taken here, the placement
//! can compile.

use orrery_core::placement::REGEX_MAX_BYTES;
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{Ast, ClassSetItem, ErrorKind, Flag, Flags, FlagsItemKind, GroupKind, Visitor, visit};
use regex_syntax::hir::translate::Translator;
use regex_syntax::hir::{Class, Hir, HirKind};
use regex_syntax::utf8::Utf8Sequences;

/// Most classes of Unicode such as `\w` or `\pL`: more would not fit, and each takes its time to be read.
const UNICODE_CLASSES_MAX: usize = 8;
/// Most characters in the ranges of classes whose case is ignored: the other case is looked up for each.
const FOLDED_CHARACTERS_MAX: u64 = 1 << 16;

// Bytes of the parts of a compiled expression, rounded up; a test compares them with what really fits.
const LITERAL_BYTES: u64 = 36;
const LITERAL_BRANCH_BYTES: u64 = 24;
const BRANCH_BYTES: u64 = 48;
const STATE_BYTES: u64 = 40;
const TRANSITION_BYTES: u64 = 8;
const CLASS_BYTES: u64 = 72;
const GROUP_BYTES: u64 = 72;
const LOOP_BYTES: u64 = 96;

/// What is wrong with `pattern` as what LIKE and UNLIKE match a whole value with; a sentence without its
/// subject.
pub(super) fn pattern_fault(pattern: &str) -> Option<String> {
    // As the placement writes it.
    let whole = format!("^(?:{pattern})$");
    let ast = match Parser::new().parse(&whole) {
        Ok(ast) => ast,
        Err(error) => return Some(syntax_fault(error.kind())),
    };
    let is_readable = visit(&ast, Census::default()).is_ok_and(|census| census.is_readable());
    if !is_readable {
        return Some(too_large());
    }
    match Translator::new().translate(&whole, &ast) {
        Ok(hir) => (compiled_bytes(&hir) > REGEX_MAX_BYTES as u64).then(too_large),
        Err(error) => Some(format!("is not a regular expression: {}", error.kind())),
    }
}

fn syntax_fault(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::UnsupportedLookAround => {
            "uses look-around such as (?=…) or (?!…), which is not supported; use LIKE and UNLIKE together".to_owned()
        }
        ErrorKind::UnsupportedBackreference => {
            "uses a back-reference such as \\1, which is not supported; write out what it stands for".to_owned()
        }
        ErrorKind::NestLimitExceeded(most) => format!("is nested deeper than {most} levels; write it flatter"),
        kind => format!("is not a regular expression: {kind}"),
    }
}

fn too_large() -> String {
    "is a regular expression that is too large; shorten it, or repeat less in it".to_owned()
}

/// Counts what is costly to read already, before it is read.
#[derive(Default)]
struct Census {
    unicode_classes: usize,
    characters: u64,
    ignores_case: bool,
}

impl Census {
    fn is_readable(&self) -> bool {
        self.unicode_classes <= UNICODE_CLASSES_MAX && (!self.ignores_case || self.characters <= FOLDED_CHARACTERS_MAX)
    }

    fn flags(&mut self, flags: &Flags) {
        self.ignores_case |= flags.items.iter().any(|item| item.kind == FlagsItemKind::Flag(Flag::CaseInsensitive));
    }
}

impl Visitor for Census {
    type Output = Self;
    type Err = ();

    fn finish(self) -> Result<Self, ()> {
        Ok(self)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), ()> {
        match ast {
            Ast::Flags(set) => self.flags(&set.flags),
            Ast::Group(group) => {
                if let GroupKind::NonCapturing(flags) = &group.kind {
                    self.flags(flags);
                }
            }
            Ast::ClassUnicode(_) => self.unicode_classes += 1,
            Ast::ClassPerl(class) if class.kind == regex_syntax::ast::ClassPerlKind::Word => self.unicode_classes += 1,
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), ()> {
        match item {
            ClassSetItem::Unicode(_) => self.unicode_classes += 1,
            ClassSetItem::Perl(class) if class.kind == regex_syntax::ast::ClassPerlKind::Word => self.unicode_classes += 1,
            ClassSetItem::Range(range) => {
                self.characters += u64::from(u32::from(range.end.c).saturating_sub(u32::from(range.start.c)));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Most bytes that the expression takes when it is compiled. Its depth is bounded by the parser.
fn compiled_bytes(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => STATE_BYTES,
        HirKind::Literal(literal) => LITERAL_BYTES * literal.0.len() as u64,
        HirKind::Class(class) => class_bytes(class),
        HirKind::Repetition(repetition) => {
            let (once, least) = (compiled_bytes(&repetition.sub), u64::from(repetition.min));
            let optional = match repetition.max {
                Some(most) => once.saturating_add(BRANCH_BYTES).saturating_mul(u64::from(most).saturating_sub(least)),
                None if least == 0 => once.saturating_add(LOOP_BYTES),
                None => LOOP_BYTES,
            };
            once.saturating_mul(least).saturating_add(optional).saturating_add(BRANCH_BYTES)
        }
        HirKind::Capture(group) => {
            let name = group.name.as_ref().map_or(0, |name| name.len() as u64);
            compiled_bytes(&group.sub).saturating_add(GROUP_BYTES + name * STATE_BYTES)
        }
        HirKind::Concat(parts) => parts.iter().map(compiled_bytes).fold(0, u64::saturating_add),
        HirKind::Alternation(branches) => branches.iter().map(branch_bytes).fold(CLASS_BYTES, u64::saturating_add),
    }
}

fn branch_bytes(branch: &Hir) -> u64 {
    // Branches that are literals become a tree of them, with more to a character.
    let more = if let HirKind::Literal(literal) = branch.kind() { LITERAL_BRANCH_BYTES * literal.0.len() as u64 } else { 0 };
    compiled_bytes(branch).saturating_add(BRANCH_BYTES + more)
}

fn class_bytes(class: &Class) -> u64 {
    let class = match class {
        Class::Bytes(class) => return CLASS_BYTES + TRANSITION_BYTES * class.ranges().len() as u64,
        Class::Unicode(class) if class.is_ascii() => return CLASS_BYTES + TRANSITION_BYTES * class.ranges().len() as u64,
        Class::Unicode(class) => class,
    };
    // Sequences of bytes in their order: neighbours share their beginnings.
    let mut sum = CLASS_BYTES;
    let mut before = None;
    for sequence in class.iter().flat_map(|range| Utf8Sequences::new(range.start(), range.end())) {
        let earlier = before.as_ref().map_or(&[][..], regex_syntax::utf8::Utf8Sequence::as_slice);
        let shared = sequence.as_slice().iter().zip(earlier).take_while(|(one, other)| one == other).count();
        sum += STATE_BYTES * (sequence.len() - shared) as u64 + TRANSITION_BYTES;
        before = Some(sequence);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_core::placement::is_pattern;
    use proptest::prelude::*;

    /// Patterns that grow with a number, and how far they must be taken at least.
    type Family = (fn(usize) -> String, usize);

    fn names(count: usize, make: impl Fn(usize) -> String) -> String {
        (0..count).map(make).collect::<Vec<_>>().join("|")
    }

    const FAMILIES: [Family; 21] = [
        (|n| "a".repeat(n), 7_000),
        (|n| "ü".repeat(n), 3_000),
        (|n| "[abq]".repeat(n), 2_500),
        (|n| "[äöü]".repeat(n), 900),
        (|n| format!(".{{{n}}}"), 200),
        (|n| format!("\\w{{{n}}}"), 4),
        (|n| format!("\\W{{0,{n}}}"), 3),
        (|n| format!("\\d{{{n}}}"), 36),
        (|n| format!("[^\\s/]{{{n}}}"), 80),
        (|n| format!("(ab){{{n},}}"), 1_000),
        (|n| format!("a{{0,{n}}}"), 2_500),
        (|n| "a?".repeat(n), 1_500),
        (|n| "(a*)*".repeat(n), 600),
        (|n| "(a)".repeat(n), 2_000),
        (|n| (0..n).map(|i| format!("(?P<n{i}>a)")).collect::<Vec<_>>().concat(), 800),
        (|n| names(n, |i| format!("{:011}", (i as u64 * 7_919_777) % 99_999_999_999)), 350),
        (|n| names(n, |i| format!("host-{i:05}.example.org")), 75),
        (|n| names(n, |i| format!("rack{i}-.*")), 130),
        (|n| format!("(?i){}", names(n, |i| format!("node{i}"))), 300),
        (|n| "\\b".repeat(n), 5_000),
        (|n| "(?-u:[a-cx])".repeat(n), 2_500),
    ];

    #[test]
    fn what_is_taken_can_be_compiled_and_little_else_is_refused() {
        let mut wrong = Vec::new();
        for (number, (pattern, least)) in FAMILIES.iter().enumerate() {
            let (mut taken, mut refused) = (0, 10_000);
            while refused - taken > 1 {
                let middle = usize::midpoint(taken, refused);
                if pattern_fault(&pattern(middle)).is_none() { taken = middle } else { refused = middle }
            }
            if taken < *least || !is_pattern(&pattern(taken)) {
                wrong.push((number, taken));
            }
        }
        assert!(wrong.is_empty(), "families and how far they are taken: {wrong:?}");
    }

    #[test]
    fn faults_say_what_is_wrong() {
        for (pattern, words) in [
            ("(?=look)", "look-around"),
            ("(?!look)x", "look-around"),
            ("a(?<!b)", "look-around"),
            (r"(a)\1", "back-reference"),
            ("(", "is not a regular expression: "),
            ("[z-a]", "is not a regular expression: "),
            (r"\p{NoSuch}", "is not a regular expression: "),
            (r"(?-u:\xff)", "is not a regular expression: "),
            ("(a{1000}){1000}", "too large"),
            ("((((x{99}){99}){99}){99})", "too large"),
        ] {
            let fault = pattern_fault(pattern).unwrap_or_default();
            assert!(fault.contains(words), "{pattern}: {fault}");
            assert!(!is_pattern(pattern), "{pattern}");
        }
        assert!(pattern_fault(&format!("{}a{}", "(".repeat(300), ")".repeat(300))).is_some_and(|fault| fault.contains("nested")));
        for pattern in ["", "rack-[0-9]+", r"\w+-\w+", r"(?i)[^a-z]*x", r"\d{4}-\d\d-\d\d", "a|b|", r"[\w.-]+\.example\.org"] {
            assert_eq!(pattern_fault(pattern), None, "{pattern}");
        }
    }

    /// Each of these takes seconds to be read by a parser that looks at all of it.
    #[test]
    fn what_is_slow_to_read_is_not_read() {
        let started = std::time::Instant::now();
        for pattern in [
            format!("(?i)[{}]", r"\pL".repeat(5_000)),
            format!("(?i){}", r"[\x00-\x{10FFFE}]".repeat(900)),
            r"\w".repeat(8_000),
            format!("((?i:[{}]))", r"\w".repeat(8_000)),
        ] {
            assert_eq!(pattern_fault(&pattern), Some(too_large()));
        }
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_judged_as_the_placement_does(pattern in r"[a-c.*+?|()\[\]{}^$\\w0-9,-]{0,24}") {
            if pattern_fault(&pattern).is_none() {
                prop_assert!(is_pattern(&pattern), "{}", pattern);
            }
        }
    }
}
