//! Bugs planted into the models, to see that the judge finds such bugs. Each stands for one that
//! the code under test could have; planting it outside leaves that code clean.

/// A planted bug.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Planted {
    /// None.
    #[default]
    Nothing,
    /// Transactions do not compare the epoch.
    NoFencing,
    /// The store acknowledges writes before they are kept, and forgets some.
    AcknowledgedBeforeKept,
    /// Orders are sent to a second node too.
    LaunchedTwice,
    /// An order is lost, and the link does not notice.
    LostOrder,
    /// A report is lost, and the link does not notice.
    LostReport,
    /// A snapshot lacks an assignment.
    IncompleteSnapshot,
    /// What a returning node runs in vain is not stopped.
    DuplicatesKept,
    /// Old reports are told again as news.
    ReplayedReports,
    /// A task counts as ended while its process still lives.
    EndedEarly,
    /// What is known of a launch is told of the next one.
    StaleObservation,
    /// A controller that takes over reads an old state.
    StaleTakeover,
    /// An agent that starts anew does not know its tasks.
    ForgottenTasks,
    /// An agent without a controller stops its tasks.
    TasksDieWithControllers,
    /// An agent whose task ended never says so.
    SilentEnd,
    /// Steps are published, answered and ordered before the store has them.
    PublishedBeforeStored,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::NoFencing,
        Self::AcknowledgedBeforeKept,
        Self::LaunchedTwice,
        Self::LostOrder,
        Self::LostReport,
        Self::IncompleteSnapshot,
        Self::DuplicatesKept,
        Self::ReplayedReports,
        Self::EndedEarly,
        Self::StaleObservation,
        Self::StaleTakeover,
        Self::ForgottenTasks,
        Self::TasksDieWithControllers,
        Self::SilentEnd,
        Self::PublishedBeforeStored,
    ];
}
