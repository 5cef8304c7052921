//! What an agent does about one task: `plan(assigned, running)`.
