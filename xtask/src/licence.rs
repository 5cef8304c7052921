//! SPDX licence expressions: `OR`, `AND`, `WITH`, brackets, and the old `A/B`.

/// Whether the allowed identifiers satisfy an expression; the reason if it
/// cannot be read.
pub(crate) fn permitted(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let permitted = any_of(&mut rest, allowed)?;
    match rest.first() {
        None => Ok(permitted),
        Some(word) => Err(format!("`{word}` is unexpected in `{expression}`")),
    }
}

fn any_of(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let mut permitted = all_of(words, allowed)?;
    while take(words, "OR") {
        permitted |= all_of(words, allowed)?;
    }
    Ok(permitted)
}

fn all_of(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let mut permitted = one(words, allowed)?;
    while take(words, "AND") {
        permitted &= one(words, allowed)?;
    }
    Ok(permitted)
}

fn one(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    if take(words, "(") {
        let permitted = any_of(words, allowed)?;
        return if take(words, ")") { Ok(permitted) } else { Err("a bracket is not closed".to_owned()) };
    }
    let Some((word, rest)) = words.split_first() else {
        return Err("a licence is missing".to_owned());
    };
    if ["OR", "AND", "WITH", ")"].contains(word) {
        return Err(format!("a licence is missing before `{word}`"));
    }
    *words = rest;
    // `X+` is X or any later version, so X suffices.
    let permitted = allowed(word.trim_end_matches('+'));
    if take(words, "WITH") {
        // An exception only gives further rights.
        let Some((_, rest)) = words.split_first() else {
            return Err("an exception is missing after `WITH`".to_owned());
        };
        *words = rest;
    }
    Ok(permitted)
}

fn take(words: &mut &[&str], wanted: &str) -> bool {
    match words.split_first() {
        Some((word, rest)) if *word == wanted => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::permitted;

    #[test]
    fn expressions_are_judged() {
        let allowed = |id: &str| ["MIT", "Apache-2.0", "ISC", "MPL-2.0"].contains(&id);
        for (expression, expected) in [
            ("MIT", Some(true)),
            ("GPL-2.0", Some(false)),
            ("GPL-2.0 OR MIT", Some(true)),
            ("GPL-2.0 AND MIT", Some(false)),
            ("MIT/Apache-2.0", Some(true)),
            ("Apache-2.0 / GPL-2.0", Some(true)),
            ("Apache-2.0 WITH LLVM-exception OR X", Some(true)),
            ("ISC AND (X OR MIT) AND (Apache-2.0 OR Y)", Some(true)),
            ("(X OR Y) AND MIT", Some(false)),
            ("X OR MIT AND ISC", Some(true)),
            ("MPL-2.0+", Some(true)),
            ("", None),
            ("(MIT", None),
            ("MIT MIT", None),
            ("OR MIT", None),
            ("MIT WITH", None),
        ] {
            assert_eq!(permitted(expression, &allowed).ok(), expected, "{expression}");
        }
    }
}
