//! What went wrong, in words a person can act on, and the exit code it leads to.

use serde_json::{Value, json};

/// Class of a failure; decides the exit code of commands that use the full table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything without a class of its own.
    General,
    /// A wrong command line or a file that cannot be used.
    Usage,
    /// The named thing does not exist.
    NotFound,
    /// Not logged in, or not allowed.
    Auth,
    /// Something else holds or changed the object.
    Conflict,
    /// The wait ended before the work did; the work goes on.
    Timeout,
    /// Some objects were done, others failed.
    Partial,
    /// No connection, or no leader.
    Unreachable,
    /// The rollout failed or was rolled back.
    Rollout,
    /// The user stopped watching; the work goes on.
    Detached,
}

/// Which exit codes a command may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitTable {
    /// 0 and 1, as the original commands did.
    Legacy,
    /// One code for each [`Kind`].
    Full,
    /// As `Full`, but 1 means "there are differences", so general failures are 9.
    Comparison,
}

/// One fault of a file that the user wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Fault {
    /// File name as the user gave it, `-` for standard input, or a flag such as `--set a.b`.
    pub(crate) file: String,
    /// Line, from 1; 0 when unknown.
    pub(crate) line: usize,
    /// Column, from 1; 0 when unknown.
    pub(crate) column: usize,
    /// JSON pointer of the field; empty for the document itself.
    pub(crate) path: String,
    /// The offending value as compact JSON, when there is one.
    pub(crate) value: Option<String>,
    /// What is wrong with it.
    pub(crate) message: String,
}

impl Fault {
    /// `file:line:column: field: message (value)` on one line.
    pub(crate) fn to_line(&self) -> String {
        let mut line = self.file.clone();
        if self.line > 0 {
            line += &format!(":{}", self.line);
            if self.column > 0 {
                line += &format!(":{}", self.column);
            }
        }
        if !line.is_empty() {
            line += ": ";
        }
        if !self.path.is_empty() {
            line += &format!("{}: ", self.path);
        }
        line += &self.message;
        if let Some(value) = &self.value {
            line += &format!(" (found {value})");
        }
        line
    }

    fn to_json(&self) -> Value {
        json!({"file": self.file, "line": self.line, "column": self.column,
               "path": self.path, "value": self.value, "message": self.message})
    }
}

/// A failure that ends a command.
#[derive(Debug, Clone)]
pub(crate) struct Error {
    pub(crate) kind: Kind,
    /// One sentence: what failed.
    pub(crate) summary: String,
    /// Why, when it is known.
    pub(crate) cause: Option<String>,
    /// One to three things to do next.
    pub(crate) fix: Vec<String>,
    /// Every fault of the input files.
    pub(crate) faults: Vec<Fault>,
}

impl Error {
    pub(crate) fn new(kind: Kind, summary: impl Into<String>) -> Self {
        Self { kind, summary: summary.into(), cause: None, fix: Vec::new(), faults: Vec::new() }
    }

    pub(crate) fn general(summary: impl Into<String>) -> Self {
        Self::new(Kind::General, summary)
    }

    pub(crate) fn usage(summary: impl Into<String>) -> Self {
        Self::new(Kind::Usage, summary)
    }

    pub(crate) fn not_found(summary: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, summary)
    }

    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix.push(fix.into());
        self
    }

    pub(crate) fn faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// The process exit code of this failure under a command's table.
    pub(crate) fn exit_code(&self, table: ExitTable) -> u8 {
        // Waiting is ours, so its codes hold for every command.
        match self.kind {
            Kind::Timeout => return 6,
            Kind::Rollout => return 10,
            Kind::Detached => return 130,
            _ => {}
        }
        match (table, self.kind) {
            (ExitTable::Comparison, Kind::General) => 9,
            (ExitTable::Legacy, _) | (_, Kind::General) => 1,
            (_, Kind::Usage) => 2,
            (_, Kind::NotFound) => 3,
            (_, Kind::Auth) => 4,
            (_, Kind::Conflict) => 5,
            (_, Kind::Partial) => 7,
            (_, Kind::Unreachable) => 8,
            (_, Kind::Timeout | Kind::Rollout | Kind::Detached) => unreachable!("returned above"),
        }
    }

    /// Text for a person, several lines without a final newline.
    pub(crate) fn to_text(&self) -> String {
        let mut text = if self.kind == Kind::Detached { self.summary.clone() } else { format!("Error: {}", self.summary) };
        for fault in &self.faults {
            text += &format!("\n  {}", fault.to_line());
        }
        if let Some(cause) = &self.cause {
            text += &format!("\n  cause: {}", cause.replace('\n', "\n         "));
        }
        for (index, fix) in self.fix.iter().enumerate() {
            let label = if index == 0 { "fix:  " } else { "or:   " };
            text += &format!("\n  {label} {fix}");
        }
        text
    }

    /// The same as one JSON object, for `-o json`.
    pub(crate) fn to_json(&self, table: ExitTable) -> Value {
        json!({"error": {
            "kind": format!("{:?}", self.kind),
            "summary": self.summary,
            "cause": self.cause,
            "fix": self.fix,
            "faults": self.faults.iter().map(Fault::to_json).collect::<Vec<_>>(),
            "exitCode": self.exit_code(table),
        }})
    }
}

/// How a command ends: its exit code, or a failure.
pub(crate) type Outcome = Result<u8, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_table() {
        let cases = [
            (Kind::General, [1, 1, 9]),
            (Kind::Usage, [1, 2, 2]),
            (Kind::NotFound, [1, 3, 3]),
            (Kind::Auth, [1, 4, 4]),
            (Kind::Conflict, [1, 5, 5]),
            (Kind::Timeout, [6, 6, 6]),
            (Kind::Partial, [1, 7, 7]),
            (Kind::Unreachable, [1, 8, 8]),
            (Kind::Rollout, [10, 10, 10]),
            (Kind::Detached, [130, 130, 130]),
        ];
        for (kind, codes) in cases {
            let error = Error::new(kind, "x");
            let tables = [ExitTable::Legacy, ExitTable::Full, ExitTable::Comparison];
            for (table, code) in tables.into_iter().zip(codes) {
                assert_eq!(error.exit_code(table), code, "{kind:?} {table:?}");
            }
        }
    }

    #[test]
    fn text_shows_cause_faults_and_fixes() {
        let error = Error::usage("1 fault in 1 file")
            .faults(vec![Fault {
                file: "a.yaml".into(),
                line: 3,
                column: 9,
                path: "/cpus".into(),
                value: Some("-1".into()),
                message: "must be 0 or more".into(),
            }])
            .cause("why")
            .fix("do this")
            .fix("do that");
        assert_eq!(
            error.to_text(),
            "Error: 1 fault in 1 file\n  a.yaml:3:9: /cpus: must be 0 or more (found -1)\n  cause: why\n  fix:   do this\n  or:    do that"
        );
    }
}
