//! The list of cases, for every suite that runs them (the simulation's model of a store is another).

/// Calls a macro with all cases.
macro_rules! every_case {
    ($each:ident) => {
        $each! {
            cases::a_new_store_is_empty,
            cases::revisions_and_versions_rise,
            cases::what_changes_nothing_takes_no_revision,
            cases::a_failed_compare_writes_nothing,
            cases::prefixes_have_sharp_edges,
            cases::pages_show_one_revision,
            cases::keys_come_without_values,
            cases::old_revisions_stay_readable,
            cases::compaction_forgets_only_what_was_superseded,
            cases::concurrent_writers_lose_no_update,
            cases::nonsense_is_refused,
            limits::large_values_pass,
            limits::operations_are_limited,
            limits::long_lists_arrive_whole,
            watches::a_watch_sees_each_revision_once_and_whole,
            watches::a_watch_resumes_after_what_it_saw,
            watches::a_watch_from_now_sees_only_what_follows,
            watches::a_compacted_watch_lists_again,
            watches::a_lagging_watch_is_replayed,
            watches::watches_under_load_see_the_same,
            leases::an_ended_lease_deletes_its_keys,
            leases::a_kept_lease_lives_on,
            leases::a_put_decides_the_lease,
            leases::what_is_left_of_a_lease_is_told,
            leases::an_unknown_lease_is_refused,
            model::random_transactions_match_the_model,
        }
    };
}
