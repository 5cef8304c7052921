//! Command-line arguments, by hand: a parser crate would slow the first build.

use anyhow::{Context, Result, bail};

/// What is left of a command line after its known flags were taken out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    left: Vec<String>,
}

impl Arguments {
    pub(crate) fn new(arguments: &[String]) -> Self {
        Self { left: arguments.to_vec() }
    }

    /// Takes every occurrence of `--name`; true if there was one.
    pub(crate) fn take_flag(&mut self, name: &str) -> bool {
        let before = self.left.len();
        self.left.retain(|argument| argument != name);
        self.left.len() != before
    }

    /// Takes `--name VALUE` or `--name=VALUE`.
    pub(crate) fn take_number(&mut self, name: &str) -> Result<Option<u64>> {
        let with_equals = format!("{name}=");
        let Some(at) = self.left.iter().position(|a| a == name || a.starts_with(&with_equals)) else {
            return Ok(None);
        };
        let argument = self.left.remove(at);
        let value = match argument.strip_prefix(&with_equals) {
            Some(value) => value.to_owned(),
            None if at < self.left.len() => self.left.remove(at),
            None => bail!("{name} needs a number after it."),
        };
        let number = value.parse().with_context(|| format!("{name} needs a whole number, not `{value}`"))?;
        Ok(Some(number))
    }

    /// Refuses flags that nobody took, and returns the positional rest.
    pub(crate) fn positional(self) -> Result<Vec<String>> {
        if let Some(flag) = self.left.iter().find(|a| a.starts_with('-')) {
            bail!("the flag {flag} is not known here. `cargo x help` lists the flags.");
        }
        Ok(self.left)
    }

    /// Refuses any argument that nobody took.
    pub(crate) fn none(self) -> Result<()> {
        match self.left.first() {
            Some(argument) => {
                bail!("the argument `{argument}` is not known here. See `cargo x help`.")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn arguments(words: &[&str]) -> Arguments {
        Arguments::new(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn flags_and_numbers_are_taken_and_the_rest_stays() {
        let mut given = arguments(&["dns", "--seconds", "5", "--fast", "yaml"]);
        assert!(given.take_flag("--fast"));
        assert!(!given.take_flag("--fast"));
        assert_eq!(given.take_number("--seconds").unwrap(), Some(5));
        assert_eq!(given.positional().unwrap(), ["dns", "yaml"]);
        let mut given = arguments(&["--seconds=7"]);
        assert_eq!(given.take_number("--seconds").unwrap(), Some(7));
        given.none().unwrap();
    }

    #[test]
    fn wrong_arguments_are_refused() {
        assert!(arguments(&["--seconds"]).take_number("--seconds").is_err());
        assert!(arguments(&["--seconds", "x"]).take_number("--seconds").is_err());
        assert!(arguments(&["--what"]).positional().is_err());
        assert!(arguments(&["what"]).none().is_err());
    }
}
